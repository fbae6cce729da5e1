"""Every look at a test set, in one file that only grows: the more looks, the less a test result means."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from vpr.errors import DataError

LEDGER = "test-ledger.jsonl"
FIRST = "0" * 64


def record_look(ledger: Path, **facts: Any) -> None:
    """Append when and what was looked at, on the disk before this returns.

    Each line holds the SHA-256 of the one before, so that a line that was changed or taken out shows. Raises DataError then.
    """
    with FileLock(f"{ledger}.lock"):
        looks = read_ledger(ledger)
        previous = _digest(ledger.read_bytes().splitlines()[-1]) if looks else FIRST
        line = json.dumps({"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts, "previous": previous})
        with ledger.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_ledger(ledger: Path) -> list[dict[str, Any]]:
    """All looks, oldest first; none where there is no ledger. Raises DataError where the chain of lines is broken."""
    looks = []
    previous = FIRST
    for number, line in enumerate(ledger.read_bytes().splitlines() if ledger.exists() else (), start=1):
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
