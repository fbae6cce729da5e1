"""How many trials fit on machines, with and without GPUs."""

import pytest

from search.cluster import Machine, fit
from search.settings import SearchSettings
from vpr.errors import ConfigError


@pytest.mark.parametrize(
    ("machines", "settings", "expected"),
    [
        ([Machine(16, 0)], SearchSettings(), (1, 0, 16)),
        ([Machine(16, 1)], SearchSettings(), (16, 1, 1)),
        ([Machine(16, 1)], SearchSettings(gpus_per_trial=0.5), (8, 0.5, 2)),
        ([Machine(16, 1)], SearchSettings(gpus_per_trial=0.5, cpus_per_trial=2), (2, 0.5, 2)),
        ([Machine(16, 2)], SearchSettings(gpus_per_trial=0.6), (8, 0.6, 2)),
        ([Machine(16, 4)], SearchSettings(gpus_per_trial=2), (8, 2, 2)),
        ([Machine(16, 1)], SearchSettings(gpus_per_trial=0), (1, 0, 16)),
        ([Machine(8, 1), Machine(32, 2)], SearchSettings(), (8, 1, 3)),
        ([Machine(1, 4)], SearchSettings(), (1, 1, 1)),
    ],
)
def test_fit_gives_cores_gpus_and_number_of_trials(machines, settings, expected):
    slots = fit(settings, machines, "this machine")
    assert (slots.cpus, slots.gpus, slots.count) == expected
    assert slots.device == ("cuda" if expected[1] else "cpu")


def test_fit_refuses_more_gpus_than_a_machine_has():
    with pytest.raises(ConfigError, match=r"--gpus-per-trial 2, but this machine has 1 GPUs"):
        fit(SearchSettings(gpus_per_trial=2), [Machine(16, 1)], "this machine")
