"""Every layout of training sets is read with the right counts, and every bad input gives its line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import utm
from layouts import gsv_cities, image, named

from vpr.cells import classes
from vpr.discovery import listing_of
from vpr.errors import DataError
from vpr.positions import from_degrees
from vpr.retrieval_layouts import read_retrieval
from vpr.train_layouts import read_train
from vpr.walking import walk


def test_gsv_xs_with_what_macos_leaves_has_the_counts_of_the_tool(tmp_path):
    tool = Path(__file__).parents[3] / "shared/tools/scale/make_xs.py"
    if not tool.is_file():
        pytest.skip("the tool that writes a set like GSV-XS is not beside this checkout")
    command = [sys.executable, str(tool), str(tmp_path), "--share", "0.01", "--macos", "--pixels", "8"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    counts = re.search(r": (\d+) places, (\d+) training images; (\d+) .* \((\d+) images\)", said)
    places, images, few, few_images = map(int, counts.groups())
    listing = walk(tmp_path / "gsv_xs/train")
    table = read_train(listing)
    sizes = np.unique(np.array(table.places), return_counts=True)[1]
    assert (len(sizes), len(table.rows)) == (places, images)
    assert ((sizes < 4).sum(), sizes[sizes < 4].sum()) == (few, few_images)
    assert len(listing.ignored) == 24 and not np.isnan(table.utm).any()
    for name, counts in (("sf_xs/val", (80, 80)), ("sf_xs/test", (272, 10)), ("tokyo_xs/test", (128, 8))):
        found = read_retrieval(listing_of(tmp_path / name))
        assert (len(found.database), len(found.queries)) == counts


@pytest.mark.parametrize("end", [".jpg", ".JPG", ".jpeg"])
def test_gsv_cities_is_read_whatever_the_suffix(tmp_path, end):
    gsv_cities(tmp_path, end)
    table = read_train(listing_of(tmp_path))
    assert table.places == ["Oslo/0000003"] * 4 + ["Oslo/0000012"] * 4 and table.layout == "GSV-Cities"
    assert np.allclose(table.utm[0], [*utm.from_latlon(59.91, 10.75)[:2], 32])


def rewritten(text):
    """A table as pandas writes it with its index, where floats took the place of whole numbers."""
    lines = text.splitlines()
    floats = re.compile(r"^(\d+),(\d+),(\d+),(\d+),")
    return "\n".join(
        [f",{lines[0]}", *(f"{n}," + floats.sub(r"\1.0,\2.0,\3.0,\4.0,", x) for n, x in enumerate(lines[1:]))]
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: rewritten(text).encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: (text + "".join(text.splitlines(keepends=True)[1:])).encode(),
        lambda text: text.replace("10.75", "10.7500").encode(),
    ],
    ids=["pandas", "byte-order mark", "Windows", "each row twice", "zeros"],
)
def test_tables_that_other_programs_wrote_are_read(tmp_path, change):
    table = gsv_cities(tmp_path)
    table.write_bytes(change(table.read_text()))
    found = read_train(listing_of(tmp_path))
    assert len(found.rows) == len(set(found.rows.tolist())) == 8 and len(set(found.places)) == 2


def test_hidden_tables_and_unusable_images_are_passed_over(tmp_path):
    table = gsv_cities(tmp_path)
    (table.parent / "._Oslo.csv").write_bytes(b"\x00\x05\x16\x07")
    first = min((tmp_path / "Images/Oslo").iterdir())
    first.write_bytes(b"")
    listing = listing_of(tmp_path)
    assert len(read_train(listing).rows) == 7 and list(listing.odd) == [str(first.relative_to(tmp_path))]


def test_positions_are_those_of_utm_in_every_zone():
    rng = np.random.default_rng(0)
    latitudes, longitudes = rng.uniform(-79.9, 83.9, 300), rng.uniform(-180, 179.9, 300)
    latitudes, longitudes = np.append(latitudes, [60.0, -0.5]), np.append(longitudes, [5.0, 18.0])
    for found, *degrees in zip(from_degrees(latitudes, longitudes), latitudes, longitudes, strict=True):
        east, north, zone, band = utm.from_latlon(*degrees)
        assert found.tolist() == [east, north, zone if band >= "N" else -zone]


BAD_TRAIN = {
    "a city without images": ("Paris.csv", lambda t: t.replace("Oslo", "Paris"), r"8 of 16 images .*Paris.csv; unpack"),
    "a missing column": ("Oslo.csv", lambda t: t.replace("northdeg", "north"), "Oslo.csv has no column northdeg"),
    "no number": (
        "Oslo.csv",
        lambda t: t.replace("2016", "soon"),
        "Oslo.csv, line 2: a field is missing or is not a number",
    ),
    "half a year": ("Oslo.csv", lambda t: t.replace("2016", "2016.5"), "not a whole number"),
    "a short row": ("Oslo.csv", lambda t: t + "3,2016\n", "line 10: a field is missing"),
    "no latitude": ("Oslo.csv", lambda t: t.replace("59.9", "159.9"), "outside the map"),
    "a city without rows": ("Paris.csv", lambda t: t.splitlines()[0], "Paris.csv names no image"),
    "no row": ("Oslo.csv", lambda t: t.splitlines()[0], "names no image"),
}


@pytest.mark.parametrize("case", BAD_TRAIN)
def test_a_bad_table_gives_one_line(tmp_path, case):
    name, change, message = BAD_TRAIN[case]
    table = gsv_cities(tmp_path)
    table.with_name(name).write_text(change(table.read_text()))
    with pytest.raises(DataError, match=message) as error:
        read_train(listing_of(tmp_path))
    assert "\n" not in str(error.value)


def test_a_table_that_is_a_broken_link_is_refused_and_its_city_not_passed_over(tmp_path):
    gsv_cities(tmp_path).with_name("Paris.csv").symlink_to("nowhere.csv")
    with pytest.raises(DataError, match=r"Paris\.csv is a broken link"):
        read_train(listing_of(tmp_path))


def test_a_table_that_is_not_utf8_is_refused(tmp_path):
    table = gsv_cities(tmp_path)
    table.with_name("Zurich.csv").write_bytes(table.read_text().replace("Oslo", "Zürich").encode("latin-1"))
    with pytest.raises(DataError, match=r"Zurich\.csv cannot be read as a UTF-8 table"):
        read_train(listing_of(tmp_path))


def test_gsv_cities_without_its_images_or_tables_is_refused(tmp_path):
    table = gsv_cities(tmp_path)
    shutil.move(tmp_path / "Images", tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"8 of 8 images .* are missing"):
        read_train(listing_of(tmp_path))
    table.unlink()
    with pytest.raises(DataError, match=r"has no \.csv file"):
        read_train(walk(tmp_path))


def positioned(folder, notes, heading="", parts=("",)):
    for number, note in enumerate(notes):
        image(folder / parts[number % len(parts)] / named(10 * number, heading=heading, note=note))
    return folder


@pytest.mark.parametrize(
    ("notes", "heading", "known"),
    [
        (["", "", ""], 270, [270] * 3),  # SF-XS, SF-XL
        (["day_forward_cph", "night_sideways_cph", "day__sf"], "", None),  # MSLS as formatted
        (["pitch1_yaw1", "pitch2_yaw12", "pitch1_yaw4"], "", [0, 90, 330]),  # Pittsburgh, database first
        (["", "", ""], 725, [5] * 3),
    ],
)
def test_a_set_without_places_gives_positions_and_headings(tmp_path, notes, heading, known):
    positioned(tmp_path / "train", notes, heading, ("database", "queries/nested"))
    table = read_train(listing_of(tmp_path / "train"))
    assert table.places is None and len(table.rows) == 3 and (table.utm[:, 2] == 10).all()
    assert np.isnan(table.headings).all() if known is None else table.headings.tolist() == known
    places, groups = classes(table.utm, table.headings)
    assert len(set(places.tolist())) == 3 and len(groups) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([named(0, note="7_Rome"), named(1)], "no place id in its name"),
        ([named(0, note="7_Rome"), named(1, note="day_forward_rome")], "no place id in its name"),
        ([named(0), "a.jpg"], "no place id in its name, and no position"),
        (["a.jpg"], "no place id in the names"),
        (["@40.4769@-3.7056@30@T@x@@@@90@@@@@@.jpg", "@40.4770@-3.7057@30@T@x@@@@90@@@@@@.jpg"], "say degrees"),
        ([], r"has no \.jpg, \.jpeg or \.png image"),
    ],
)
def test_names_that_say_too_little_give_one_line(tmp_path, names, message):
    (tmp_path / "train").mkdir()
    for name in names:
        image(tmp_path / "train" / name)
    with pytest.raises(DataError, match=message):
        read_train(listing_of(tmp_path / "train"))


def test_positions_and_names_of_folders_are_no_places(tmp_path):
    """Names as docs/own-data.md writes them, and folders that hold an `@`."""
    for north in range(8):
        for name in (f"@547000.00@{4175000 + north}.00@0.jpg", f"@548000.00@{4175000 + north}.00@10@S@my-image@.jpg"):
            image(tmp_path / "a@home@2019" / name)
    table = read_train(listing_of(tmp_path))
    assert table.layout == "positions" and table.places is None and len(table.rows) == 16
