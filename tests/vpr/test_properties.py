"""Whatever comes in is read as it was written, or refused with our own error."""

import csv
import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vpr.config import DataConfig, TrialConfig
from vpr.datasets import position, read_places
from vpr.errors import ConfigError, DataError
from vpr.leaves import all_leaves, from_leaves, parse_assignments, to_leaves

metres = st.floats(-1e7, 1e7)
part = st.text(st.characters(blacklist_characters="/@\0", blacklist_categories=["Cs"]), max_size=20)
file_name = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=60)


@given(metres, metres, st.lists(part, max_size=12))
def test_a_position_is_read_as_it_was_written(east, north, rest):
    assert position(Path("@".join(["", str(east), str(north), *rest, ".jpg"]))) == (east, north)


@given(file_name)
def test_any_other_name_is_read_or_refused(name):
    try:
        east, north = position(Path("set") / name)
    except DataError as fault:
        assert name in str(fault)
    else:
        fields = name.split("@")
        assert (east, north) == (float(fields[1]), float(fields[2])) and math.isfinite(east + north)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(part.filter(bool), st.integers(1, 3)), min_size=1, max_size=4, unique_by=lambda place: place[0])
)
def test_places_are_read_from_gsv_xs_names_as_they_were_written(places):
    with tempfile.TemporaryDirectory() as folder:
        for number, (place, count) in enumerate(places):
            for view in range(count):
                name = f"@{number}@{view}@@@@@@@@@@@@{place}@.jpg"
                if len(name.encode()) < 250:
                    Image.new("RGB", (1, 1)).save(Path(folder) / name)
        found = read_places(Path(folder), DataConfig(images_per_place=1))
        names = [path.name.split("@")[-2] for path in found.images]
        assert {name: names.count(name) for name in names} == dict(places)
        assert (
            len({(label, name) for label, name in zip(found.labels, names, strict=True)}) == len(places) == found.count
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.one_of(part, st.integers(-9, 99999).map(str)), min_size=8, max_size=9), max_size=3))
def test_a_table_of_gsv_cities_is_read_or_refused(rows):
    with tempfile.TemporaryDirectory() as folder:
        for part_of in ("Dataframes", "Images"):
            (Path(folder) / part_of).mkdir()
        with (Path(folder) / "Dataframes/Oslo.csv").open("w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table)
            writer.writerow(["place_id", "year", "month", "northdeg", "city_id", "lat", "lon", "panoid"])
            writer.writerows(rows)
        try:
            read_places(Path(folder), DataConfig(images_per_place=1))
        except DataError as fault:
            assert folder in str(fault)
        else:
            raise AssertionError("no picture exists, so nothing can be read")


def values_of(name):
    """Values inside a leaf's limits, as a person would write them."""
    field, kind = all_leaves()[name]
    limits = field.metadata
    if "choices" in limits:
        return st.sampled_from(limits["choices"])
    if kind is bool:
        return st.booleans()
    if kind is str:
        return st.text(min_size=1, max_size=20)
    low, high = limits.get("low", limits.get("above", -1000)), limits.get("high", limits.get("below", 1000))
    if kind is float:
        excluded = {"exclude_min": "above" in limits, "exclude_max": "below" in limits}
        return st.floats(low, high, allow_nan=False, **excluded)
    if kind is int:
        return st.integers(int(low), int(high))
    size = 2 if name == "data/image_size" else 3
    return st.lists(st.integers(int(low), int(min(high, 1000))), min_size=size, max_size=size).map(tuple)


@st.composite
def assignments(draw):
    """Some leaves with values, and the text of `--set` for each."""
    names = draw(st.lists(st.sampled_from(sorted(all_leaves())), max_size=6, unique=True))
    values = {name: draw(values_of(name)) for name in names}
    written = [
        f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in values.items()
    ]
    return values, written


@settings(max_examples=400, deadline=None)
@given(assignments())
def test_a_configuration_is_read_as_it_was_written(drawn):
    values, written = drawn
    try:
        found = to_leaves(from_leaves(parse_assignments(written)))
    except ConfigError as fault:  # a leaf of another choice, or a conflict: named
        assert any(name.split("/")[1] in str(fault) for name in values)
    else:
        assert {name: found[name] for name in values} == values


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(all_leaves())), st.text(max_size=12)), st.text(max_size=12), max_size=4
    )
)
def test_any_text_is_a_configuration_or_refused(leaves):
    try:
        config = from_leaves(parse_assignments(f"{name}={value}" for name, value in leaves.items() if "=" not in name))
    except ConfigError as fault:
        assert "\n" not in str(fault).replace("\\n", "") or any(
            "\n" in text for pair in leaves.items() for text in pair
        )
    else:
        assert isinstance(config, TrialConfig)
