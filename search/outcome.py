"""What a search found: its trials, its finalists, and the figures that the reports share."""

from dataclasses import dataclass, field
from typing import Any

from search.cluster import Slots
from search.finals import Finals
from search.history import History
from search.importance import Importance
from search.ledger import read_ledger
from search.plan import Plan
from search.records import TrialRecord, recalls_by_set
from search.rungs import Rung, rungs_of, saved_seconds
from search.tracking import Ending

RECALLS = tuple(f"val/recall_at_{n}" for n in (1, 5, 10, 20))


@dataclass
class Outcome:
    """All that the reports say of a search."""

    plan: Plan
    slots: Slots
    command: str
    history: History
    wall_seconds: float
    ray_seconds: float
    """Seconds of these that the command waited for Ray to start."""
    seconds_to_first_step: float | None
    """From the command to the beginning of the first optimizer step of any trial."""
    finals: Finals = field(default_factory=lambda: Finals([]))
    importances: list[Importance] = field(default_factory=list)

    @property
    def trials(self) -> list[TrialRecord]:
        """The search's own, best first."""
        return self.history.ranked()

    @property
    def winner(self) -> TrialRecord | None:
        """The finalist with the best mean; before there are finalists, the best trial that did not fail."""
        if self.finals.best:
            return self.finals.best.record
        return next((record for record in self.trials if record.best and record.state != "failed"), None)

    @property
    def status(self) -> str:
        """MLflow's word for how the search ended."""
        if self.history.is_interrupted:
            return "KILLED"
        return "FINISHED" if self.winner else "FAILED"

    @property
    def disk_bytes(self) -> int:
        """What lies in the search's folder."""
        return sum(file.stat().st_size for file in self.plan.folder.rglob("*") if file.is_file())

    @property
    def compute_share(self) -> float:
        """Of the slots' time, Ray's start apart, what was spent in training and validating trials."""
        compute = sum(record.compute_seconds for record in self.history.records.values())
        return compute / (self.slots.count * (self.wall_seconds - self.ray_seconds))

    @property
    def saved_seconds(self) -> float:
        return saved_seconds(self.trials, self.plan.epochs)

    @property
    def saved_share(self) -> float:
        """Of the trial seconds that full trainings would have taken, what early stopping saved."""
        spent = sum(record.seconds for record in self.trials)
        return self.saved_seconds / (self.saved_seconds + spent) if spent else 0.0

    @property
    def rungs(self) -> list[Rung]:
        return rungs_of(self.trials, self.plan.epochs)

    def test(self) -> dict[str, dict[str, Any]]:
        """recall@N of the exported model in per cent, by test set."""
        best = self.finals.best
        found = {name: best and self.finals.recalls(best.best_run.key, name) for name in self.plan.folders.tests}
        return {name: recalls for name, recalls in found.items() if recalls}

    def figures(self) -> dict[str, float]:
        """Numbers for the search's own MLflow run."""
        tests = {f"test/{name}/{n}": value for name, found in self.test().items() for n, value in found.items()}
        best = self.winner.best if self.winner else None
        recalls = {f"best/{name.replace('/', '_')}": best[name] for name in RECALLS} if best else {}
        recalls |= {f"best/{name}": value for name, value in recalls_by_set(best or {}).items()}
        shares = {
            f"importance/{importance.of}/{leaf}": share
            for importance in self.importances
            for leaf, share in importance.shares.items()
        }
        weighed = {
            f"finalist/trial_{finalist.record.number}/{name}": value
            for place, finalist in enumerate(self.finals.finalists)
            for name, value in self._weighed(place).items()
        }
        saved = {"saved_seconds": self.saved_seconds, "saved_share": self.saved_share}
        known = {"wall_seconds": self.wall_seconds, "trials": len(self.trials)}
        return {**recalls, **tests, **shares, **weighed, **saved, **known}

    def _weighed(self, place: int) -> dict[str, float]:
        """Of a finalist: val recall@1 in per cent, and the chance of being the best."""
        val = self.finals.val
        if val is None:
            return {}
        low, high = val.intervals[place]
        mean, spread, chance = val.means[place], val.spreads[place], val.probability_best[place]
        known = {"mean": mean, "sd": spread, "low": low, "high": high, "probability_best": chance}
        return {name: float(value) for name, value in known.items()}

    def ending(self, answer: str) -> Ending:
        """What MLflow keeps of the search; answer: a sentence or more in Markdown."""
        folder, winner = self.plan.folder, self.winner
        run = self.finals.best.best_run if self.finals.best else winner
        # A conditional one would leave MLflow's parallel coordinates with no trial that has all of them.
        leaves = self.trials[0].leaves if self.trials else {}
        shared = [leaf for leaf in leaves if all(leaf in record.leaves for record in self.trials)]
        varied = [leaf for leaf in shared if len({record.leaves[leaf] for record in self.trials}) > 1]
        shares = self.importances[0].shares if self.importances else {}
        export = self.finals.export
        files = {
            folder / name: None
            for name in ("report.html", "figures.json", "gallery.html", "summary.json", "search.json")
        }
        return Ending(
            status=self.status,
            note=answer,
            metrics=self.figures(),
            artifacts={**files, **({export / "config.json": "config"} if export else {})},
            leaves=sorted(varied, key=lambda leaf: shares.get(leaf, 0.0), reverse=True),
            export=export,
            is_registered="onnx" in self.plan.formats,
            winner={"trial": str(run.number), "seed": str(run.seed)} if run and export else {},
        )

    def looks(self) -> dict[str, dict[str, int]]:
        """How often each test set was looked at, by this search and by all that share its storage; another set of the same name is another."""
        looks = read_ledger(self.plan.ledger)
        mine = [look for look in looks if look["search_id"] == self.plan.search_id]
        data = {look["set"]: look["data"] for look in mine}
        return {
            name: {
                "this_search": sum(look["set"] == name for look in mine),
                "all": sum(look["set"] == name and look["data"] == data.get(name, look["data"]) for look in looks),
            }
            for name in self.plan.folders.tests
        }
