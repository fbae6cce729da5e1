"""A folder as a search leaves it, of any size, without the training: through the project's own writers and Optuna's own journal."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.importance import importances
from search.records import METRIC, Events
from spaces import full

RECALLS = [f"val/recall_at_{n}" for n in (1, 5, 10, 20)]


def write_search(
    folder: Path, trials: int, epochs: int = 10, is_finished: bool = True, reason: str = "cut 20.0"
) -> Path:
    """Trials of the space `full`; every third one runs to its end, one fails, the best two are confirmed if it finished."""
    folder.mkdir(parents=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(study_name=folder.name, storage=storage, direction="maximize", sampler=sampler)
    events = [{"event": "session", "at": 0.0}]
    for number in range(trials):
        events += _trial(study, number, epochs, reason)
    events += [{"event": "finished", "at": 9e3}] if is_finished else []
    (folder / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    known = Events()
    known.read(line.encode() for line in map(json.dumps, events))
    (folder / "search.json").write_text(json.dumps({"budget": {"trials": trials, "confirm": 2, "confirm_seeds": 1}}))
    (folder / "summary.json").write_text(json.dumps(_summary(folder, known, epochs, is_finished)))
    return folder


def _trial(study, number, epochs, reason):
    random = np.random.default_rng(number)
    trial = study.ask()
    full.suggest(trial)
    height = 60 * random.random() * math.exp(-((math.log10(trial.params["optimizer/lr"]) + 2.5) ** 2) / 4)
    count = epochs if number % 3 == 0 else 1 + number % max(epochs - 1, 1)
    state = "failed" if number == 7 else "completed" if count == epochs else "pruned"
    at = 40.0 * number
    events = [{"event": "suggested", "at": at, "trial": number, "seed": None, "leaves": trial.params}]
    for epoch in range(1, count + 1):
        first = height * (1 - math.exp(-epoch / 3)) + random.random()
        recalls = dict(zip(RECALLS, (first, first + 10, first + 20, first + 30), strict=True))
        trial.report(first, epoch)
        metrics = {"epoch": epoch, **recalls, "train/seconds": 25.0, "val/seconds": 5.0}
        times = {"seconds": 31.0, "first_step_at": at, "reported_at": at + 31 * epoch}
        events.append(
            {
                "event": "epoch",
                "at": at,
                "trial": number,
                "seed": None,
                "metrics": metrics,
                **times,
                "worker": "a:1",
                "stop": None,
            }
        )
    states = {"failed": "FAIL", "completed": "COMPLETE", "pruned": "PRUNED"}
    study.tell(trial, first if state == "completed" else None, state=optuna.trial.TrialState[states[state]])
    return [*events, {"event": "ended", "at": at, "trial": number, "seed": None, "state": state, "reason": reason}]


def _summary(folder, events, epochs, is_finished):
    ranked = sorted(events.records.values(), key=lambda record: -record.best[METRIC])
    seconds = sum(record.seconds for record in ranked)
    best = next(record for record in ranked if record.state != "failed")
    others = [record for record in ranked if record.state != "failed"][1:2]
    found = importances(folder / "study.journal", folder.name, best.number)
    return {
        "name": folder.name,
        "space": "full",
        "command": "python search/run.py --space full",
        "seed": 0,
        "git_commit": None,
        "versions": {"python": "3"},
        "data": {
            "root": "/data",
            "fingerprint": "f00",
            "overlap": ["skipped   3 images of train cannot be read and are left out"],
        },
        "wall_seconds": seconds / 4,
        "compute_share": 0.9,
        "saved_share": 0.4,
        "slots": 4,
        "slot": {"cpus": 2, "gpus": 0.5},
        "epochs": epochs,
        "sessions": 1,
        "early_stopping": {"rule": "asha", "rungs": []},
        "trials": [_entry(record) for record in ranked],
        "finalists": [_finalist(record) for record in [best, *others]] if is_finished else [],
        "tie_group": [best.number, *(record.number for record in others)] if is_finished else [],
        "importance": [vars(SimpleNamespace(**vars(one))) for one in found],
        "test": {"sf_xs/test": {f"recall_at_{n}": 40.0 for n in (1, 5, 10, 20)}} if is_finished else {},
        "ledger": {"head": "0" * 64, "looks": {"sf_xs/test": {"this_search": 2, "all": 5}}},
        "best": {"trial": best.number, "seed": 1, "export": None},
    }


def _entry(record):
    told = {"id": record.number, "state": record.state, "stop_reason": record.stop_reason, "params": record.leaves}
    return {**told, "best": {name: record.best[name] for name in ("epoch", *RECALLS)}, "checkpoint": None}


def _finalist(record):
    mean = record.best[METRIC]
    weighed = {"mean": mean, "sd": 1.0, "interval": [mean - 5, mean + 5]}
    return {
        "trial": record.number,
        "seeds": [{"seed": 1}],
        **weighed,
        "probability_best": 0.5,
        "test": {"sf_xs/test": weighed},
    }
