"""The community's layouts, and what is said of folders that are not."""

import os

import numpy as np
import pytest
from PIL import Image

from vpr.config import DataConfig
from vpr.data import open_data
from vpr.datasets import find_sets, position, read_places, read_retrieval_set
from vpr.errors import DataError
from vpr.images import read_image
from vpr.store import open_store


def picture(path, color=(90, 120, 30), size=(56, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def gsv_cities(root, images=4):
    """Two places of a city in the full GSV-Cities layout."""
    rows = ["place_id,year,month,northdeg,city_id,lat,lon,panoid"]
    for place in (3, 12):
        for view in range(images):
            rows.append(f"{place},2016,7,{5 * view},Oslo,59.9{view},10.75,pano{place}{view}")
            name = f"Oslo_{place:07d}_2016_07_{5 * view:03d}_59.9{view}_10.75_pano{place}{view}.jpg"
            picture(root / "Images/Oslo" / name, (place * 9, view * 20, 0))
    (root / "Dataframes").mkdir()
    (root / "Dataframes/Oslo.csv").write_text("\n".join(rows) + "\n")


def test_gsv_xs(city):
    places = read_places(city / "gsv_xs/train", DataConfig(images_per_place=4))
    assert places.count >= 24 and (np.diff(places.labels) >= 0).all()
    assert {path.name.split("@")[-2] for path in np.array(places.images)[places.labels == 0]} == {
        places.images[0].name.split("@")[-2]
    }


def test_full_gsv_cities_is_recognised(tmp_path):
    gsv_cities(tmp_path)
    places = read_places(tmp_path, DataConfig(images_per_place=4))
    assert places.count == 2 and places.labels.tolist() == [0] * 4 + [1] * 4
    assert "Oslo_0000012" in places.images[-1].name


def test_gsv_cities_names_a_missing_image(tmp_path):
    gsv_cities(tmp_path)
    next((tmp_path / "Images/Oslo").iterdir()).unlink()
    with pytest.raises(DataError, match="1 of 8 images .* are missing"):
        read_places(tmp_path, DataConfig(images_per_place=4))


def test_positives_are_within_the_radius_inclusive(tmp_path):
    for kind, easts in (("database", (0, 25, 26)), ("queries", (0, 500))):
        for east in easts:
            picture(tmp_path / f"sf_xs/val/{kind}/@{east}@0@.jpg")
    val = read_retrieval_set(tmp_path / "sf_xs/val")
    names = [path.name for path in val.database]
    near, far = val.positives(25.0)
    assert [names[index] for index in near] == ["@0@0@.jpg", "@25@0@.jpg"] and len(far) == 0


def test_every_set_of_the_city_is_found(city):
    assert set(find_sets(city).tests) == {"sf_xs/test", "tokyo_xs/test"}


def test_bad_folders_say_what_where_and_what_to_do(tmp_path, city):
    with pytest.raises(DataError, match="is not a folder; give --data"):
        find_sets(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no gsv_xs/train"):
        find_sets(tmp_path)
    (tmp_path / "gsv_xs/train").mkdir(parents=True)
    with pytest.raises(DataError, match="no sf_xs/val"):
        find_sets(tmp_path)
    with pytest.raises(DataError, match="has no .jpg"):
        read_places(tmp_path / "gsv_xs/train", DataConfig(images_per_place=4))
    with pytest.raises(DataError, match="no place with data/images_per_place=99"):
        read_places(city / "gsv_xs/train", DataConfig(images_per_place=99))
    with pytest.raises(DataError, match="no place id"):
        picture(tmp_path / "gsv_xs/train/a.jpg")
        read_places(tmp_path / "gsv_xs/train", DataConfig(images_per_place=1))


@pytest.mark.parametrize("name", ["a.jpg", "@x@1@.jpg", "@1@.jpg", "@nan@1@.jpg", "1@2@3.jpg"])
def test_a_name_without_coordinates_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="no coordinates"):
        position(tmp_path / name)


def test_small_places_can_be_left_out(tmp_path):
    for place, views in (("7", 2), ("8", 4)):
        for view in range(views):
            picture(tmp_path / f"train/@1@2@30@T@@@{view}@@@@@@@{place}@.jpg")
    found = read_places(tmp_path / "train", DataConfig())
    assert found.count == 1 and str(found.small) == (
        "1 of 2 places have fewer than 4 images and are left out (2 images)"
    )
    with pytest.raises(DataError, match="1 of 2 places have fewer than data/images_per_place=4 images"):
        read_places(tmp_path / "train", DataConfig(skip_small_places=False))


def test_gsv_cities_trains_with_sf_xs(tmp_path, city):
    gsv_cities(tmp_path / "gsv_cities")
    (tmp_path / "sf_xs").symlink_to(city / "sf_xs")
    data = open_data(find_sets(tmp_path), DataConfig(image_size=(16, 16)))
    assert data.places == 2 and data.images.shape == (8, 3, 16, 16)


def test_odd_files_are_named(tmp_path):
    gsv_cities(tmp_path / "cities")
    (tmp_path / "cities/Dataframes/Zurich.csv").write_bytes(b"place_id,city_id\n1,Z\xfcrich\n")
    with pytest.raises(DataError, match="Zurich.csv cannot be read as a UTF-8 table"):
        read_places(tmp_path / "cities", DataConfig(images_per_place=4))
    Image.new("1", (20000, 20000)).save(tmp_path / "huge.png")
    with pytest.raises(DataError, match=r"1 images cannot be read, first .*huge\.png"):
        read_image(tmp_path / "huge.png", (16, 16))
    latin = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    picture(tmp_path / "plain.jpg").rename(latin)
    assert open_store("i/j", tmp_path, [latin], (16, 16)).shape == (1, 3, 16, 16)
