"""MLflow: one parent run a search, one nested run a trial; written by the driver alone, and never in the way of training."""

import logging
import math
import os
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from vpr.errors import ConfigError
from vpr.leaves import to_text

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces the tables that it creates
# A dead server must not hold up the trials whose reports pass through here: one try again, then later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
PAUSE_SECONDS = 30.0
"""After a failure nothing is tried for so long."""
EXPERIMENT = "vpr-search"
STATUS = {"completed": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
Call = Callable[[], object]
TrialKey = tuple[int, int | None]
"""Trial and, for a finalist that is trained again, seed."""


def default_address(storage: Path) -> str:
    """A SQLite file beside the searches, by its absolute path (MLflow's own default depends on the current folder)."""
    return f"sqlite:///{storage.resolve() / 'mlflow.db'}"


class Tracker:
    """Runs are found by their tags `search_id` and `trial_id`, so nothing is ever doubled.

    What cannot be written waits, in order, for the next call; `failures` counts the attempts.
    """

    def __init__(self, address: str, name: str, search_id: str, params: Mapping[str, Any], artifacts: Path) -> None:
        """Raises ConfigError where the address does not answer (before any training)."""
        self.search_id = search_id
        self.waiting: deque[Call] = deque()
        self.failures, self.failed_at = 0, -math.inf
        self.last_failure = ""
        self.runs: dict[TrialKey, str] = {}
        try:
            self.client = MlflowClient(address)
            self.experiment = self._experiment(artifacts)
            self.parent = self._run(name, {"search_id": search_id, "trial_id": "search"}, params)
        except Exception as fault:  # SQLAlchemy, HTTP and MLflow errors have no common type
            reason = " ".join(str(fault).split())[:150]
            raise ConfigError(
                f"--tracking-uri {address} cannot be used ({reason}); start the server or mend it"
            ) from None

    def start(self, key: TrialKey, varied: str, leaves: Mapping[str, Any]) -> None:
        """Open the run with all leaves as parameters; what varied names it. A finalist's seed is nested in its trial."""
        number, seed = key
        params = {name: to_text(name, value) for name, value in leaves.items()}
        title = f"trial {number:02d}" if seed is None else f"trial {number:02d} seed {seed}"
        tags = {"search_id": self.search_id, "trial_id": str(number) if seed is None else f"{number}-seed-{seed}"}

        def open_run() -> None:
            parent = self.parent if seed is None else self.runs[number, None]
            self.runs[key] = self._run(f"{title} {varied}"[:200], {**tags, MLFLOW_PARENT_RUN_ID: parent}, params)

        self._later(open_run)

    def epoch(self, key: TrialKey, metrics: Mapping[str, float], best: Mapping[str, float]) -> None:
        """One `log_batch` with an epoch's metrics and the best so far."""
        values = {**metrics, "best/val_recall_at_1": best["val/recall_at_1"], "best/epoch": best["epoch"]}
        now, step = int(time.time() * 1000), int(values.pop("epoch"))
        batch = [Metric(name, value, now, step) for name, value in values.items()]
        self._later(lambda: self.client.log_batch(self.runs[key], metrics=batch))

    def end(self, key: TrialKey, state: str, reason: str) -> None:
        """Close the trial's run with its state and reason."""
        tags = [RunTag("state", state), RunTag("stop_reason", reason)]
        self._later(lambda: self.client.log_batch(self.runs[key], tags=tags))
        self._later(lambda: self.client.set_terminated(self.runs[key], STATUS[state]))

    def finish(self, summary_file: Path, metrics: Mapping[str, float], status: str) -> None:
        """Close the parent run with the search's figures and its summary."""
        now = int(time.time() * 1000)
        batch = [Metric(re.sub(r"[^\w\-. /:]", "_", name), value, now, 0) for name, value in metrics.items()]
        self._later(lambda: self.client.log_batch(self.parent, metrics=batch))
        self._later(lambda: self.client.log_artifact(self.parent, str(summary_file)))
        self._later(lambda: self.client.set_terminated(self.parent, status))
        self._deliver()

    def _later(self, call: Call) -> None:
        self.waiting.append(call)
        if time.monotonic() - self.failed_at > PAUSE_SECONDS:
            self._deliver()

    def _deliver(self) -> None:
        while self.waiting:
            try:
                self.waiting[0]()
            except Exception as fault:  # a tracking failure of any kind must not stop training
                self.failures += 1
                self.failed_at = time.monotonic()
                self.last_failure = " ".join(str(fault).split())[:150]
                return
            self.waiting.popleft()

    def _experiment(self, artifacts: Path) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found:
            return found.experiment_id
        try:
            return self.client.create_experiment(EXPERIMENT, artifact_location=artifacts.resolve().as_uri())
        except MlflowException:  # another search was first
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return found.experiment_id

    def _run(self, name: str, tags: dict[str, str], params: Mapping[str, Any]) -> str:
        """The run with these tags, made now unless it is there."""
        wanted = " and ".join(f"tags.{tag} = '{tags[tag]}'" for tag in ("search_id", "trial_id"))
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        if found:
            run_id = found[0].info.run_id
        else:
            run_id = self.client.create_run(self.experiment, tags={**tags, MLFLOW_RUN_NAME: name}).info.run_id
        entries = [Param(leaf, str(value)) for leaf, value in params.items()]
        self.client.log_batch(run_id, params=entries)  # the tree has fewer than 100 leaves, MLflow's limit of a batch
        return run_id
