"""Every look at a test set, in one file that only grows: the more looks, the less a test result means."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from search.storage import append_line, mend_lines, read_lines
from vpr.errors import DataError

LEDGER = "test-ledger.jsonl"
FIRST = "0" * 64


def record_look(ledger: Path, **facts: Any) -> None:
    """Append when and what was looked at, on the disk before this returns.

    Each line holds the SHA-256 of the one before, so that a line that was changed or taken out shows; the last one's is in
    the summary.json of its search. Raises DataError where a line was changed.
    """
    with FileLock(f"{ledger}.lock"):
        mend_lines(ledger)
        read_ledger(ledger)
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        append_line(ledger, json.dumps({"when": when, **facts, "previous": head(ledger)}))


def read_ledger(ledger: Path) -> list[dict[str, Any]]:
    """All looks, oldest first; none where there is no ledger. Raises DataError where the chain of lines is broken."""
    return _checked(read_lines(ledger), ledger)


def head(ledger: Path) -> str:
    """SHA-256 of the last line."""
    lines = read_lines(ledger)
    return _digest(lines[-1]) if lines else FIRST


def _checked(lines: list[bytes], ledger: Path) -> list[dict[str, Any]]:
    looks = []
    previous = FIRST
    for number, line in enumerate(lines, start=1):
        try:
            look = json.loads(line)
            if look["previous"] != previous:
                raise ValueError("the line before it was changed or removed")
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(
                f"{ledger}, line {number}: {fault}; put the ledger back as it was, or move it away"
            ) from None
        looks.append(look)
        previous = _digest(line)
    return looks


def checkpoint_hash(file: Path) -> str:
    """SHA-256 of a checkpoint file, by which the ledger names it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
