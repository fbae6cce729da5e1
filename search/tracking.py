"""MLflow: one parent run a search, one nested run a trial; written by the driver alone, in a thread that training never waits for."""

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from search.champion import dethrone, register
from search.comparison import VIEW_TAG, view
from search.records import TrialKey, TrialRecord, note
from vpr.errors import ConfigError
from vpr.leaves import to_text
from vpr.results import best_key

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces the tables that it creates
# A server that does not answer is asked again by us, in order.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
PAUSE_SECONDS = 3.0
"""Between two attempts."""
LAST_SECONDS = 30.0
"""How long the end of a search waits for a server that is away."""
EXPERIMENT = "vpr-search"
ARTIFACTS = "mlflow-artifacts"
"""Folder of an experiment that a search is the first of, beside the searches."""
STATUS = {"completed": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "interrupted": "KILLED"}
Call = Callable[[], object]


@dataclass(frozen=True)
class Ending:
    """What the run of a search says when it is over."""

    status: str
    """MLflow's word: FINISHED, FAILED or KILLED."""
    note: str
    """The answer, in Markdown."""
    metrics: Mapping[str, float]
    artifacts: Mapping[Path, str | None]
    """Folder below the run's artifacts by file; what is not there is left out."""
    leaves: list[str]
    """That varied in all trials, the most important first."""
    export: Path | None = None
    """Folder of the winner's export."""
    is_registered: bool = True
    """Whether the export becomes the champion of the search's registered model; else that has none."""
    winner: Mapping[str, str] = field(default_factory=dict)
    """Its `trial` and `seed`."""


def default_address(storage: Path) -> str:
    """$MLFLOW_TRACKING_URI, else a SQLite file beside the searches, by its absolute path (MLflow's own depends on the current folder)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{storage.resolve() / 'mlflow.db'}"


class Tracker:
    """Runs are found by their tags `search_id` and `trial_id`, and points by their epoch, so nothing is ever doubled.

    What cannot be written waits, in order; `failures` counts the attempts. A point carries the time of its report, by which
    MLflow knows it again where a server took it and its answer was lost.
    """

    def __init__(self, address: str, name: str, search_id: str, params: Mapping[str, Any], artifacts: Path) -> None:
        """Raises ConfigError where the address does not answer (before any training)."""
        self.address, self.name, self.search_id = address, name, search_id
        self.waiting: deque[Call] = deque()
        self.changed = threading.Condition()
        self.failures, self.last_failure = 0, ""
        self.has_champion = False
        self.runs: dict[TrialKey, str] = {}
        self.status: dict[TrialKey, str] = {}
        """What MLflow says of each run."""
        self.queued: dict[TrialKey, int] = {}
        """Epochs of a trial that were queued by this process."""
        self.present: dict[TrialKey, set[int]] = {}
        """Epochs of a trial that MLflow had before."""
        try:
            self.client = MlflowClient(address)
            self.experiment = self._experiment(artifacts)
            self.parent = self._run(
                name, {"search_id": search_id, "trial_id": "search", "role": "search"}, params
            ).info.run_id
            self.client.update_run(self.parent, status="RUNNING")  # it may have been interrupted
            self._show([])
        except Exception as fault:  # SQLAlchemy, HTTP and MLflow errors have no common type
            reason = " ".join(str(fault).split())[:150]
            raise ConfigError(
                f"--tracking-uri {address} cannot be used ({reason}); start the server or mend it"
            ) from None
        threading.Thread(target=self._deliver, daemon=True, name="mlflow").start()

    def start(self, record: TrialRecord, varied: str, leaves: Mapping[str, Any]) -> None:
        """Open the run with all leaves as parameters; what varied names it. A finalist's seed is nested in its trial.

        varied: such as `circle · sgd · lr 0.0025`.
        """
        key, (number, seed) = record.key, record.key
        params = {name: to_text(name, value) for name, value in leaves.items()}
        title = varied or f"trial {number}" if seed is None else f"seed {seed} of trial {number}"
        tags = {
            "search_id": self.search_id,
            "trial_id": str(number) if seed is None else f"{number}-seed-{seed}",
            "role": "trial" if seed is None else "seed",
        }

        def open_run() -> None:
            parent = self.parent if seed is None else self.runs[number, None]
            run = self._run(title[:200], {**tags, "state": "running", MLFLOW_PARENT_RUN_ID: parent}, params)
            self.runs[key] = run.info.run_id
            if run.data.metrics:
                points = self.client.get_metric_history(run.info.run_id, "val/recall_at_1")
                self.present[key] = {point.step for point in points}
            self.status[key] = run.info.status
            if run.info.status != "RUNNING" and not record.has_ended:
                self.client.update_run(run.info.run_id, status="RUNNING")
                self.status[key] = "RUNNING"

        self._later(open_run)

    def epochs(self, record: TrialRecord) -> None:
        """One `log_batch` for each epoch that was not queued yet, with its metrics and the best so far."""
        key = record.key
        for place in range(self.queued.get(key, 0), len(record.epochs)):
            best = max(record.epochs[: place + 1], key=best_key)
            values = {
                **record.epochs[place],
                **record.usage[place],
                "best/val_recall_at_1": best["val/recall_at_1"],
                "best/epoch": best["epoch"],
            }
            at, step = int(1000 * record.times[place]), int(values.pop("epoch"))
            batch = [Metric(name, value, at, step) for name, value in values.items()]

            def log(step: int = step, batch: list[Metric] = batch) -> None:
                if step not in self.present.get(key, ()):
                    self.client.log_batch(self.runs[key], metrics=batch)

            self._later(log)
        self.queued[key] = len(record.epochs)

    def end(self, record: TrialRecord) -> None:
        """Close the trial's run with its state, its reason and a description."""
        key, state = record.key, record.state
        tags = [
            RunTag("state", state),
            RunTag("stop_reason", record.stop_reason),
            RunTag(MLFLOW_RUN_NOTE, note(record)),
        ]
        self._later(lambda: self.client.log_batch(self.runs[key], tags=tags))
        ended_at = None if record.ended_at is None else int(1000 * record.ended_at)

        def close_run() -> None:
            if self.status[key] != STATUS[state]:  # else an earlier session did it
                self.client.set_terminated(self.runs[key], STATUS[state], ended_at)
                self.status[key] = STATUS[state]

        self._later(close_run)

    def finish(self, ending: Ending) -> None:
        """Close the parent run with what the search found, and wait for what is still on its way."""
        now = int(time.time() * 1000)
        batch = [
            Metric(re.sub(r"[^\w\-. /:]", "_", name), value, now, 0) for name, value in ending.metrics.items()
        ]  # MLflow takes 1,000 at once
        self._later(lambda: self.client.log_batch(self.parent, metrics=batch))
        self._later(lambda: self.client.set_tag(self.parent, MLFLOW_RUN_NOTE, ending.note))
        self._later(lambda: self._show(ending.leaves))
        self._later(lambda: self.client.set_terminated(self.parent, ending.status))
        # Files last: a store of files that cannot be written keeps nothing else waiting.
        for file, folder in ending.artifacts.items():
            if file.exists():
                self._later(partial(self.client.log_artifact, self.parent, str(file), folder))
        if ending.export and not ending.is_registered:
            self._later(lambda: dethrone(self.client, self.name))
        elif export := ending.export:
            given = self.client, self.experiment, self.parent, self.name
            tags = {"search_id": self.search_id, **ending.winner}

            def crown() -> None:
                register(*given, export, tags, ending.note)
                self.has_champion = True

            self._later(crown)
        with self.changed:
            while self.waiting:
                before = len(self.waiting), self.failures
                self.changed.wait(LAST_SECONDS)
                # A large model may take longer than that to arrive.
                if len(self.waiting) >= before[0] and self.failures > before[1]:
                    return

    def _later(self, call: Call) -> None:
        with self.changed:
            self.waiting.append(call)
            self.changed.notify_all()

    def _deliver(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: bool(self.waiting))
            try:
                self.waiting[0]()
            except Exception as fault:  # a tracking failure of any kind must not stop training
                self.failures += 1
                self.last_failure = " ".join(str(fault).split())[:150]
                time.sleep(PAUSE_SECONDS)
                continue
            with self.changed:
                self.waiting.popleft()
                self.changed.notify_all()

    def _show(self, leaves: list[str]) -> None:
        self.client.set_experiment_tag(self.experiment, VIEW_TAG + self.search_id, view(self.search_id, leaves))

    def _experiment(self, artifacts: Path) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found:
            return found.experiment_id
        # A server has a place of its own for artifacts, which all who use it can reach.
        place = None if self.address.startswith("http") else (artifacts / ARTIFACTS).resolve().as_uri()
        try:
            return self.client.create_experiment(EXPERIMENT, artifact_location=place)
        except MlflowException:  # another search was first
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return found.experiment_id

    def _run(self, name: str, tags: dict[str, str], params: Mapping[str, Any]) -> Run:
        """The run with these tags, made now unless it is there, with those of the parameters that it lacks."""
        wanted = " and ".join(f"tags.{tag} = '{tags[tag]}'" for tag in ("search_id", "trial_id"))
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        run = found[0] if found else self.client.create_run(self.experiment, tags={**tags, MLFLOW_RUN_NAME: name})
        entries = [Param(leaf, str(value)) for leaf, value in params.items() if leaf not in run.data.params]
        self.client.log_batch(
            run.info.run_id, params=entries
        )  # the tree has fewer than 100 leaves, MLflow's limit of a batch
        return run
