"""A file that only grows."""

import pytest

from search.ledger import read_ledger, record_look
from vpr.errors import DataError


def test_looks_are_kept_in_order(tmp_path):
    ledger = tmp_path / "test-ledger.jsonl"
    assert read_ledger(ledger) == []
    for trial in range(3):
        record_look(ledger, trial=trial, set="sf_xs/test")
    looks = read_ledger(ledger)
    assert [look["trial"] for look in looks] == [0, 1, 2] and all("when" in look for look in looks)


@pytest.mark.parametrize(
    "change", [lambda lines: [*lines[:1], *lines[2:]], lambda lines: ["{}", *lines[1:]], lambda lines: [*lines, "x"]]
)
def test_a_change_is_noticed(tmp_path, change):
    ledger = tmp_path / "test-ledger.jsonl"
    for trial in range(3):
        record_look(ledger, trial=trial)
    ledger.write_text("\n".join(change(ledger.read_text().splitlines())) + "\n")
    with pytest.raises(DataError, match="line [124]"):
        read_ledger(ledger)
    with pytest.raises(DataError):
        record_look(ledger, trial=9)
