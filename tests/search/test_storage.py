"""Lines on a disk that fails now and then."""

import errno
import os

from search import storage
from search.storage import StorageWatch, append_line, mend_lines, read_lines


def failing_once(monkeypatch, call, fault):
    """`os.<call>` does its work and then raises, the first time."""
    real, left = getattr(os, call), [fault]

    def act(*given):
        real(*given)
        if left:
            raise OSError(left.pop(), "the disk failed")

    monkeypatch.setattr(os, call, act)


def test_a_line_is_there_once_though_the_disk_failed_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0)
    file, told = tmp_path / "lines", []
    append_line(file, "first")
    failing_once(monkeypatch, "fsync", errno.ENOSPC)
    append_line(file, "second", told.append)
    assert file.read_text() == "first\nsecond\n" and [fault.errno for fault in told] == [errno.ENOSPC]


def test_half_a_line_is_not_read_and_is_cut_off_before_the_next(tmp_path):
    file = tmp_path / "lines"
    file.write_text("first\nsec")
    assert read_lines(file) == [b"first"]
    mend_lines(file)
    append_line(file, "second")
    assert read_lines(file) == [b"first", b"second"]


def test_a_folder_that_goes_away_is_told_once_and_so_is_its_return(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(storage, "LOOK_SECONDS", 0)
    said = []
    watch = StorageWatch(tmp_path / "mount", said.append)
    watch.look(), watch.look()
    assert not watch.has_room and len(said) == 1 and "nothing new starts" in said[0]
    (tmp_path / "mount").mkdir()
    watch.look(), watch.look()
    assert watch.has_room and len(said) == 2 and not list((tmp_path / "mount").iterdir())
