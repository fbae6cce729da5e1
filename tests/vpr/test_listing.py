"""A walk lists each image once, opens nothing, and says what it left out."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from vpr.errors import DataError
from vpr.index_arrays import walk_of
from vpr.spread import spread
from vpr.walking import walk


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not looked at")


def test_a_link_to_the_folder_itself_adds_no_image(tmp_path):
    files(tmp_path, "database/a.jpg", "database/b.jpg")
    (tmp_path / "database/loop").symlink_to(".")
    (tmp_path / "database/up").symlink_to("..")
    found = walk(tmp_path)
    assert found.names == ["database/a.jpg", "database/b.jpg"]
    assert found.repeated == ["database/loop", "database/up"]


def test_a_linked_folder_is_listed_once_under_the_first_name(tmp_path):
    files(tmp_path, "real/a.jpg")
    (tmp_path / "second").symlink_to("real")
    found = walk(tmp_path)
    assert found.names == ["real/a.jpg"] and found.repeated == ["second"] and found.parts == ["real", "second"]


def test_what_is_no_regular_file_is_named_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket has at most 107 bytes
    os.mkfifo("pipe.jpg")
    os.mkfifo("pipe.csv")
    Path("gone.jpg").symlink_to("nowhere")
    Path("self.jpg").symlink_to("self.jpg")
    Path("self.csv").symlink_to("self.csv")
    Path("Paris").symlink_to("/mnt/gone/Paris")
    Path("St.Louis").symlink_to("/mnt/gone/St.Louis")
    Path("notes.txt").symlink_to("nowhere")
    Path("empty.jpg").touch()
    files(tmp_path, "good.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        found = walk(tmp_path)
    assert found.names == ["good.jpg"] and not found.tables
    assert found.odd == {
        "Paris": "is a broken link",
        "St.Louis": "is a broken link",
        "empty.jpg": "is empty",
        "gone.jpg": "is a broken link",
        "pipe.jpg": "is a named pipe, not a file",
        "self.jpg": "is a broken link",
        "socket.jpg": "is a socket, not a file",
    }
    assert found.lost_tables == {"pipe.csv": "is a named pipe, not a file", "self.csv": "is a broken link"}


def test_what_archives_and_file_servers_leave_is_ignored_and_named(tmp_path):
    files(tmp_path, "a.jpg", "._a.jpg", "__MACOSX/b.jpg", ".ipynb_checkpoints/a.jpg", "@eaDir/a.jpg/THUMB.jpg")
    files(tmp_path, "Dataframes/Madrid.csv", "Dataframes/._Madrid.csv")
    found = walk(tmp_path)
    assert found.names == ["a.jpg"] and list(found.tables) == ["Dataframes/Madrid.csv"]
    assert sorted(found.ignored) == [
        "._a.jpg",
        ".ipynb_checkpoints",
        "@eaDir",
        "Dataframes/._Madrid.csv",
        "__MACOSX",
    ]


def test_the_order_is_that_of_sorted_paths(tmp_path):
    names = ["a/z.jpg", "a-b/c.jpg", "a.jpg", "a/b/c.PNG", "a/b.jpeg", "B/x.jpg", "a b/x.jpg", "é/x.jpg"]
    files(tmp_path, *names)
    expected = sorted(tmp_path / name for name in names)
    assert [tmp_path / name for name in walk(tmp_path).names] == expected


def test_sizes_times_and_numbers_are_those_of_the_files(tmp_path):
    files(tmp_path, "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    own = (tmp_path / "a.jpg").stat()
    found = walk(tmp_path)
    assert found.sizes.tolist() == [own.st_size] * 2 and found.times.tolist() == [own.st_mtime_ns] * 2
    assert np.array_equal(found.files, [[own.st_dev, own.st_ino]] * 2)


def test_a_file_of_a_year_that_no_int64_holds_is_listed(tmp_path):
    files(tmp_path, "a.jpg")
    try:
        os.utime(tmp_path / "a.jpg", ns=(2**63, 2**63))
    except OSError:
        pytest.skip("this file system has no year 2262")
    if (tmp_path / "a.jpg").stat().st_mtime_ns < 2**63 - 1:
        pytest.skip("this file system has no year 2262")
    assert walk(tmp_path).times.tolist() == [2**63 - 1]


def test_a_name_that_is_not_utf8_survives(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    files(tmp_path, name)
    found = walk(tmp_path)
    assert found.names == [name] and (tmp_path / found.names[0]).exists()


def test_only_the_given_parts_are_looked_at(tmp_path):
    files(tmp_path, "database/only.jpg", "queries/a.jpg", "queries_sun/a.jpg", "a.jpg")
    found = walk(tmp_path, only=("database", "queries_sun"))
    assert found.names == ["database/only.jpg", "queries_sun/a.jpg"] and found.parts == ["database", "queries_sun"]


def test_several_processes_find_what_one_finds(tmp_path, monkeypatch):
    """Folders with an image's suffix, files with a folder's name, links and gaps, in tasks of two files."""
    monkeypatch.setattr("vpr.walking.TASK", 2)
    monkeypatch.setattr("vpr.walking.MANY", 3)  # folders with more, and with fewer
    files(tmp_path, *(f"{city}/{number}.jpg" for city in ("a", "b.jpg", "c", "c/d") for number in range(5)))
    files(tmp_path, "README", "b.csv", "c/._0.jpg", "z.jpeg")
    (tmp_path / "a/2.JPG").touch()
    (tmp_path / "a/folder.jpg").mkdir()
    files(tmp_path, "a/folder.jpg/x.png")
    (tmp_path / "license").symlink_to("README")
    (tmp_path / "again").symlink_to("a")
    (tmp_path / "twice.jpg").symlink_to("c")
    (tmp_path / "zurich").symlink_to("nowhere")
    one, several = walk(tmp_path), walk(tmp_path, spread=spread)
    assert np.array_equal(one.facts, several.facts)
    assert vars(one) | {"facts": 0} == vars(several) | {"facts": 0} and walk_of(one) == walk_of(several)
    assert len(one.names) == 22 and one.names[:4] == ["a/0.jpg", "a/1.jpg", "a/2.jpg", "a/3.jpg"]
    assert one.odd == {"zurich": "is a broken link", "a/2.JPG": "is empty"} and one.repeated == ["again", "twice.jpg"]
    assert [one.facts[row, 3] for row in range(22)] == [(tmp_path / name).stat().st_ino for name in one.names]


def test_images_and_folders_stand_in_the_order_of_their_names(tmp_path):
    files(tmp_path, "b/d/2.jpg", "b/d.jpg", "b/1.jpg", "b/e.jpg", "b.jpg", "a/z.jpg", "c/1.jpg", "bb/1.jpg")
    names = walk(tmp_path).names
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert names[:4] == ["a/z.jpg", "b/1.jpg", "b/d/2.jpg", "b/d.jpg"]


def test_of_two_links_to_a_folder_the_shorter_path_counts(tmp_path):
    files(tmp_path, "m/real/a.jpg")
    (tmp_path / "z").symlink_to("m/real")
    found = walk(tmp_path)
    assert found.names == ["z/a.jpg"] and found.repeated == ["m/real"]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        walk(tmp_path / "nowhere")


AS_A_USER = """
import os, sys
from pathlib import Path
from vpr.errors import DataError
from vpr.walking import walk
if os.getuid() == 0:  # who may read everything
    os.setgid(65534)
    os.setuid(65534)
try:
    print(len(walk(Path(sys.argv[1])).names), "images")
except DataError as error:
    print(error)
"""


def test_a_folder_that_may_not_be_read_is_refused_by_name():
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to other users
        Path(root).chmod(0o755)
        files(Path(root), "one/a.jpg", "two/b.jpg")
        (Path(root) / "two").chmod(0)
        command = [sys.executable, "-c", AS_A_USER, root]
        child = subprocess.run(command, capture_output=True, text=True, timeout=60)
        (Path(root) / "two").chmod(0o755)
    assert child.stdout.startswith(f"{root}/two cannot be read (Permission denied)"), child.stderr
