"""The image store: both of its forms give what decoding gives, and nothing half-built or stale is ever used."""

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vpr.config import DataConfig
from vpr.data import open_data
from vpr.datasets import find_sets, read_places
from vpr.errors import BadImagesError, ConfigError, DataError
from vpr.images import read_image
from vpr.store import cache_folder, content_digest, open_store, report_bad

FORMS = {"decoded": None, "packed": 0}
"""The budget that leads to each form."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("VPR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(path, color=(90, 120, 30), size=(56, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def pixels(images, rows=None):
    rows = np.arange(len(images)) if rows is None else np.array(rows)
    out = np.empty((len(rows), *images.shape[1:]), np.uint8)
    images.gather(rows, out)
    return out


def stores():
    return sorted(
        file.name for file in cache_folder().iterdir() if file.is_file() and file.suffix not in (".lock", ".content")
    )


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_both_forms_give_what_decoding_gives(city, budget):
    folder = city / "gsv_xs/train"
    paths = read_places(folder, DataConfig(images_per_place=4)).images[:9]
    images = open_store("a", folder, paths, (32, 56), budget)
    assert images.shape == (9, 3, 32, 56) and len(images) == 9
    decoded = np.stack([read_image(path, (32, 56)) for path in paths])
    assert (pixels(images) == decoded).all()
    assert (pixels(images, [4, 0, 4, 8]) == decoded[[4, 0, 4, 8]]).all()
    assert [name.endswith(".pack") for name in stores()] == [budget == 0]


def test_the_budget_decides_the_form_and_counts_what_is_there(tmp_path):
    paths = [picture(tmp_path / f"{name}/1.png") for name in "abc"]
    row = 16 * 16 * 3
    for path, form in zip(paths, (".npy", ".npy", ".pack"), strict=True):
        before = set(stores()) if cache_folder().exists() else set()
        open_store(
            path.parent.name, path.parent, [path], (16, 16), (2 * row + 300) / 1e9
        )  # an .npy has a header of 128 bytes
        (new,) = set(stores()) - before
        assert new.endswith(form)
    open_store("c", tmp_path / "c", [paths[2]], (16, 16), form="decoded")  # as a plan chooses: decoded from now on
    assert [name[-4:] for name in stores() if name.startswith("c-")].count(".npy") == 1


def test_packing_is_said_and_a_negative_budget_refused(tmp_path, capfd):
    path = picture(tmp_path / "set/a.png")
    open_store("a", path.parent, [path], (16, 16))
    assert capfd.readouterr().err == ""
    open_store("a", path.parent, [path], (24, 24), budget_gb=0)
    assert "packed    a: 0.0000 GB decoded do not fit into the 0.0000 GB of --cache-budget" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="--cache-budget -1 must be 0 or more"):
        open_store("a", path.parent, [path], (16, 16), budget_gb=-1)


def test_images_of_another_decoder_are_left_alone(tmp_path, monkeypatch):
    """Two environments with other versions of Pillow share a cache."""
    path = picture(tmp_path / "set/a.png")
    open_store("a", path.parent, [path], (16, 16))
    monkeypatch.setattr("vpr.store_files.DECODER", "chw-pillow0.1")
    open_store("a", path.parent, [path], (16, 16))
    assert len(stores()) == 2


def test_a_pack_serves_every_image_size(tmp_path):
    path = picture(tmp_path / "set/a.png", (255, 0, 0))
    for size in ((16, 16), (24, 40)):
        assert open_store("a", path.parent, [path], size, budget_gb=0).shape == (1, 3, *size)
    assert len(stores()) == 1


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_changed_images_make_a_new_store_and_the_old_one_goes(tmp_path, budget):
    path = picture(tmp_path / "set/a.png", (255, 0, 0))
    before = pixels(open_store("a", path.parent, [path], (16, 16), budget))
    picture(path, (0, 0, 255), (60, 32))
    assert (pixels(open_store("a", path.parent, [path], (16, 16), budget)) != before).any()
    assert len(stores()) == 1


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_a_damaged_store_is_built_again(tmp_path, budget):
    path = picture(tmp_path / "set/a.png", (255, 0, 0))
    before = pixels(open_store("a", path.parent, [path], (16, 16), budget))
    for left in (b"", (cache_folder() / stores()[0]).read_bytes()[:-1]):
        (cache_folder() / stores()[0]).write_bytes(left)
        assert (pixels(open_store("a", path.parent, [path], (16, 16), budget)) == before).all()


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_all_unreadable_images_are_named_and_remembered_and_nothing_is_left(tmp_path, budget):
    paths = [picture(tmp_path / f"set/{number}.jpg") for number in range(40)]
    paths[3].write_bytes(b"\xff\xd8\xff not a picture")
    paths[33].write_bytes(paths[33].read_bytes()[:200])
    for _ in range(2):
        with pytest.raises(
            BadImagesError, match=r"2 images cannot be read, first .*/3\.jpg .*--on-bad-image skip"
        ) as fault:
            open_store("a", tmp_path / "set", paths, (16, 16), budget)
        assert set(fault.value.faults) == {paths[3], paths[33]} and "truncated" in fault.value.faults[paths[33]].lower()
    assert not [name for name in stores() if not name.endswith(".json")]
    picture(paths[3], (0, 255, 0), (50, 30))
    picture(paths[33], (0, 255, 0), (50, 30))
    assert len(open_store("a", tmp_path / "set", paths, (16, 16), budget)) == 40


def test_a_killed_build_leaves_nothing_that_looks_finished(city):
    folder = city / "gsv_xs/train"
    paths = read_places(folder, DataConfig(images_per_place=4)).images
    build = multiprocessing.get_context("spawn").Process(target=open_store, args=("a", folder, paths, (512, 512)))
    build.start()
    cache_folder().mkdir(exist_ok=True)
    while build.is_alive() and not any(".partial-" in name for name in stores()):
        time.sleep(0.005)
    assert build.is_alive(), "the build was over before it could be killed"
    os.kill(build.pid, signal.SIGKILL)
    build.join()
    assert all(".partial-" in name for name in stores())
    images = open_store("a", folder, paths, (32, 56))
    assert (pixels(images, [7]) == read_image(paths[7], (32, 56))).all()
    assert len(stores()) == 1


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    path = picture(tmp_path / "set/a.png")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="0.0 GB free, the images of a need"):
        open_store("a", path.parent, [path], (16, 16))


def test_leaving_places_out_needs_no_other_store(city, config):
    """Trials with another data/images_per_place share the pictures."""
    from dataclasses import replace

    data = open_data(find_sets(city), config.data)
    fewer = open_data(find_sets(city), replace(config.data, images_per_place=5, skip_small_places=True))
    assert len(data.images) == len(fewer.images) and len(stores()) == 3


def test_a_fault_of_the_disk_is_no_bad_image(tmp_path, monkeypatch):
    path = tmp_path / "one.jpg"
    Image.new("RGB", (8, 8)).save(path)

    def fail(*given):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output"):
        read_image(path, (4, 4))


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_an_error_that_heals_is_not_remembered(tmp_path, budget):
    paths = [picture(tmp_path / f"set/{number}.png") for number in range(3)]
    os.mkfifo(tmp_path / "set/3.png")
    (tmp_path / "set/4.png").symlink_to("later")
    paths += [tmp_path / "set/3.png", tmp_path / "set/4.png"]
    with pytest.raises(BadImagesError, match="2 images cannot be read") as error:
        open_store("a", tmp_path / "set", paths, (16, 16), budget)
    assert list(error.value.faults.values()) == ["is a named pipe, not a file", "is a broken link"]
    assert stores() == []
    picture(tmp_path / "set/later.png").rename(tmp_path / "set/later")
    paths[3].unlink()
    picture(paths[3])
    assert len(open_store("a", tmp_path / "set", paths, (16, 16), budget)) == 5


def test_a_missing_permission_is_forgotten_when_it_is_given(tmp_path, monkeypatch):
    """The size and the time of a file stay the same."""
    path = picture(tmp_path / "set/a.png")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(BadImagesError, match="Permission denied"):
        patch.setattr(Path, "read_bytes", refuse)
        open_store("a", path.parent, [path], (16, 16))
    assert len(open_store("a", path.parent, [path], (16, 16))) == 1


def test_the_content_digest_is_of_the_bytes_alone(tmp_path):
    def digest(**given):
        return content_digest("a", tmp_path / "set", paths, **given)

    paths = [picture(tmp_path / f"set/{number}.png", (number, 0, 0)) for number in range(3)]
    for budget in FORMS.values():
        open_store("a", tmp_path / "set", paths, (16, 16), budget)
        (written,) = cache_folder().glob("*.content")
        first = written.read_text()
        assert digest() == first and len(first) == 32
        written.unlink()
        assert digest() == first  # read from the files, as of a store that is older
    paths[0].touch()
    assert digest() == first
    before = paths[1].stat()
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"x")
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert paths[1].stat().st_size == before.st_size and digest() != first
    assert digest(state="same contents, named by an index") == digest()


def test_the_form_that_is_given_is_built_and_nothing_is_said(tmp_path, capfd, monkeypatch):
    path = picture(tmp_path / "set/a.png")
    open_store("a", path.parent, [path], (16, 16), form="packed")
    assert [name[-5:] for name in stores()] == [".pack"]
    open_store("a", path.parent, [path], (16, 16), budget_gb=0, form="decoded")
    assert [name[-4:] for name in stores()] == [".npy", "pack"]
    open_store("a", path.parent, [path], (16, 16), form="packed")  # decoded images that are there are used
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="the decoded images of b need"):
        open_store("b", path.parent, [path], (16, 16), form="decoded")


def test_without_a_form_memory_decides(tmp_path, capfd, monkeypatch):
    path = picture(tmp_path / "set/a.png")
    monkeypatch.setattr("vpr.store.memory_for_images", lambda: 3 * 16 * 16 - 1)
    open_store("a", path.parent, [path], (16, 16))
    assert "GB of memory for images" in capfd.readouterr().err and [name[-5:] for name in stores()] == [".pack"]


class Lazy:
    """A sequence that makes its paths on access."""

    def __init__(self, folder, count):
        self.folder, self.count = folder, count

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if not 0 <= row < self.count:
            raise IndexError(row)
        return self.folder / f"{row}.png"


@pytest.mark.parametrize("budget", FORMS.values(), ids=FORMS)
def test_with_state_and_sizes_no_file_is_touched_to_open_a_store(tmp_path, budget, monkeypatch):
    paths = Lazy(tmp_path / "set", 20)
    sizes = np.array([picture(path).stat().st_size for path in paths])
    given = {"budget_gb": budget, "form": "packed" if budget == 0 else None, "state": "a", "sizes": sizes}
    built = pixels(open_store("a", tmp_path / "set", paths, (16, 16), **given))
    assert (built == np.stack([read_image(path, (16, 16)) for path in paths])).all()
    monkeypatch.setattr(Lazy, "__getitem__", None)
    assert (pixels(open_store("a", tmp_path / "set", paths, (16, 16), **given)) == built).all()
    assert content_digest("a", tmp_path / "set", paths, "a")


def test_the_list_of_bad_images_has_a_line_for_each_name(tmp_path):
    """Also for names that are not UTF-8, or hold a line end."""
    names = [os.fsdecode(b"caf\xe9.jpg"), "two\nlines.jpg"]
    listed = report_bad({tmp_path / name: "is empty" for name in names}).read_bytes().splitlines()
    assert listed == [os.fsencode(tmp_path) + end for end in (b"/caf\xe9.jpg\tis empty", b"/two\\nlines.jpg\tis empty")]
