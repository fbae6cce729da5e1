"""Descriptors of any pictures, and the place of one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import utm
from PIL import Image

from vpr import describe, locate
from vpr.checkpoint import save_checkpoint
from vpr.data import open_retrieval
from vpr.datasets import find_sets, position
from vpr.errors import ConfigError, DataError
from vpr.evaluate import describe as described
from vpr.export import load_model
from vpr.model import PlaceModel


@pytest.fixture(scope="module")
def model(config, tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "c.pt"
    save_checkpoint(file, {"model": PlaceModel(config.model, config.data.image_size).state_dict()}, config)
    return str(file)


def test_descriptors_are_those_of_the_store(model, city, config, tmp_path):
    val = find_sets(city).first_val
    assert describe.main(describe.DescribeSettings(model, (val / "queries",), tmp_path / "d.npy")) == 0
    found, paths = describe.read_descriptors(tmp_path / "d.npy")
    expected = described(
        load_model(Path(model))[0], open_retrieval(val, config.data).queries, "fp32", torch.device("cpu")
    )
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-6)
    assert paths == sorted((val / "queries").rglob("*.jpg"))


def test_names_that_are_no_text(model, city, tmp_path, capsys):
    picture = next((find_sets(city).first_val / "queries").rglob("*.jpg"))
    for name in (b"caf\xe9.jpg", "a\u2028b.jpg".encode(), b"a\rb.jpg"):
        shutil.copy(picture, os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    assert describe.main(describe.DescribeSettings(model, (tmp_path,), tmp_path / "d.npy")) == 0
    descriptors, paths = describe.read_descriptors(tmp_path / "d.npy")
    assert len(descriptors) == 3 and all(path.exists() for path in paths)
    (tmp_path / "a\nb.jpg").write_bytes(picture.read_bytes())
    with pytest.raises(DataError, match=r"a\\nb.jpg' has a line break"):
        describe.main(describe.DescribeSettings(model, (tmp_path,), tmp_path / "d.npy"))


def test_all_bad_pictures_are_named_before_anything_is_written(model, city, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    settings = describe.DescribeSettings(model, (find_sets(city).first_val / "queries", tmp_path), tmp_path / "d.npy")
    with pytest.raises(DataError, match=r"2 pictures cannot be read: .*a\.jpg, .*b\.jpg"):
        describe.main(settings)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]
    with pytest.raises(DataError, match=r"are not there, first .*none"):
        describe.main(describe.DescribeSettings(model, (tmp_path / "none",), tmp_path / "d.npy"))


def test_a_picture_of_the_database_finds_itself(model, city, tmp_path, capsys):
    database = find_sets(city).first_val / "database"
    query = sorted(database.rglob("*.jpg"))[3]
    settings = locate.LocateSettings(model, query, database=database, top=3, out=tmp_path / "found.png")
    assert locate.main(settings) == 0
    first = capsys.readouterr().out.splitlines()[1:3]
    assert str(query) in first[0] and "distance 0.000" in first[1] and "0.0 m away  right" in first[1]
    east, north = position(query)
    latitude, longitude = utm.to_latlon(east, north, 10, "S")
    assert f"UTM {east:.2f} E {north:.2f} N  {latitude:.5f}, {longitude:.5f}" in first[1]
    with Image.open(tmp_path / "found.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert (0, 0x9E, 0x73) in colours


def test_descriptors_of_before_and_a_query_without_position(model, city, tmp_path, capsys):
    database = find_sets(city).first_val / "database"
    describe.main(describe.DescribeSettings(model, (database,), tmp_path / "d.npy"))
    shutil.copy(min(database.rglob("*.jpg")), tmp_path / "holiday.jpg")
    given = locate.LocateSettings(
        model, tmp_path / "holiday.jpg", descriptors=tmp_path / "d.npy", out=tmp_path / "x.jpg"
    )
    capsys.readouterr()
    assert locate.main(given) == 0
    printed = capsys.readouterr().out
    assert "position not known" in printed and "away" not in printed and "distance 0.000" in printed


def test_descriptors_of_another_model_of_the_same_size_are_refused(model, city, config, tmp_path):
    torch.manual_seed(1)
    other = tmp_path / "other.pt"
    save_checkpoint(other, {"model": PlaceModel(config.model, config.data.image_size).state_dict()}, config)
    database = find_sets(city).first_val / "database"
    describe.main(describe.DescribeSettings(str(other), (database,), tmp_path / "d.npy"))
    query = min(database.rglob("*.jpg"))
    with pytest.raises(DataError, match="of another model"):
        locate.main(locate.LocateSettings(model, query, descriptors=tmp_path / "d.npy"))
    assert locate.main(locate.LocateSettings(str(other), query, descriptors=tmp_path / "d.npy")) == 0


def test_what_is_not_right_is_marked_wrong(tmp_path):
    names = ["@0@0@10@S@x@.jpg", "@24@0@10@S@x@.jpg", "@26@0@10@S@x@.jpg"]
    paths = [tmp_path / name for name in names]
    descriptors = np.eye(3, dtype=np.float32)
    found = locate.matches(paths[0], descriptors[:1], paths, descriptors, 3, radius_m=25.0)
    assert [match.is_right for match in found] == [True, True, False] and found[1].distance == pytest.approx(2**0.5)
    for path in paths:
        Image.new("RGB", (40, 30)).save(path)
    from vpr.board import draw

    draw(tmp_path / "board.png", paths[0], found)
    with Image.open(tmp_path / "board.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert {(0, 0x9E, 0x73), (0xD5, 0x5E, 0)} <= colours


def test_one_source_of_the_database(model, tmp_path):
    with pytest.raises(ConfigError, match="one of the two"):
        locate.main(locate.LocateSettings(model, tmp_path / "x.jpg"))


def test_a_named_pipe_is_named_and_a_turned_query_is_upright(model, city, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with Image.open(min((find_sets(city).first_val / "database").rglob("*.jpg"))) as picture:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(pictures / "upright.png")
        picture.transpose(Image.Transpose.ROTATE_90).save(pictures / "turned.png", exif=exif)
    describe.main(describe.DescribeSettings(model, (pictures,), tmp_path / "d.npy"))
    turned, upright = describe.read_descriptors(tmp_path / "d.npy")[0]
    assert (turned == upright).all()
    os.mkfifo(pictures / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg \(is a named pipe, not a file\)"):
        describe.main(describe.DescribeSettings(model, (pictures,), tmp_path / "d.npy"))
    with pytest.raises(DataError, match=r"is a named pipe"):
        locate.main(locate.LocateSettings(model, pictures / "turned.png", database=pictures))
