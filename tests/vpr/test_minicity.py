"""The made-up city keeps its promises: same seed same bytes, honest positions, nothing half-written."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import utm
from PIL import Image

from vpr.minicity import write
from vpr.minicity.city import City
from vpr.minicity.frame import FIELD_OF_VIEW_DEG, HEIGHT, WIDTH, Camera
from vpr.minicity.light import Moment
from vpr.minicity.props import plant_forest
from vpr.minicity.render import render

pytestmark = pytest.mark.slow

EVAL_SETS = ("sf_xs/val", "sf_xs/test", "tokyo_xs/test")
POSITIVE_RADIUS_M = 25.0


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("minicity") / "city"
    write(root, seed=0, scale=0.1)
    return root


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def positions(folder: Path) -> np.ndarray:
    """(n, 2) UTM east and north in metres."""
    return np.array([[float(field) for field in path.name.split("@")[1:3]] for path in images(folder)])


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 2), (m, 2) -> (n, m) metres."""
    return np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in images(root)}


def test_same_seed_same_bytes_other_seed_other_city(city, tmp_path):
    calls: list[tuple[int, int]] = []
    write(tmp_path / "again", seed=0, scale=0.1, progress=lambda done, total: calls.append((done, total)))
    write(tmp_path / "other", seed=1, scale=0.1)
    assert contents(tmp_path / "again") == contents(city)
    assert calls == sorted(calls) and calls[-1] == (len(images(city)),) * 2
    assert not set(contents(tmp_path / "other").values()) & set(contents(city).values())


def test_every_file_name_follows_the_convention(city):
    for path in images(city):
        fields = path.name.split("@")
        assert len(fields) == 16 and fields[0] == "" and fields[-1] == ".jpg"
        _, east, north, zone, letter, lat, lon, pano, tile, heading, pitch, roll, height, stamp, note, _ = fields
        assert 100_000 < float(east) < 900_000 and 0 < float(north) < 10_000_000 and zone.isdigit() and letter == "S"
        assert -90 < float(lat) < 90 and -180 < float(lon) < 180 and pano and len(tile) == 4
        assert 0 <= int(heading) < 360 and pitch == roll == height == "" and 1 <= int(stamp[4:]) <= 12
        assert (len(note) == 6 and note.isdigit()) if "gsv_xs" in path.parts else note == ""


def test_latitude_and_longitude_of_a_name_are_those_of_its_metres(city):
    for name in ("gsv_xs/train", "sf_xs/val", "sf_xs/test", "tokyo_xs/test"):
        fields = next((city / name).rglob("*.jpg")).name.split("@")
        east, north, zone, band = utm.from_latlon(float(fields[5]), float(fields[6]))
        assert (zone, band) == (int(fields[3]), fields[4])
        assert abs(east - float(fields[1])) < 2 and abs(north - float(fields[2])) < 2


def test_images_are_of_one_size_and_not_flat(city):
    for path in images(city)[::7]:
        with Image.open(path) as image:
            assert image.size == (192, 112) and image.mode == "RGB"
            assert np.asarray(image).std() > 5, path


def test_a_small_city_is_still_a_whole_data_set(city):
    places = Counter(path.name.split("@")[14] for path in images(city / "gsv_xs/train"))
    assert len(places) >= 24 and min(places.values()) >= 4
    for name in EVAL_SETS:
        assert len(images(city / name / "database")) >= 24 and len(images(city / name / "queries")) >= 24


def test_places_that_look_the_same_way_are_apart(city):
    paths, at = images(city / "gsv_xs/train"), positions(city / "gsv_xs/train")
    place, heading = (np.array([int(path.name.split("@")[field]) for path in paths]) for field in (14, 9))
    turn = np.abs((heading[:, None] - heading[None] + 180) % 360 - 180)
    assert not ((place[:, None] != place[None]) & (distances(at, at) <= POSITIVE_RADIUS_M) & (turn < 30)).any()
    same = place[:, None] == place[None]
    assert distances(at, at)[same].max() < POSITIVE_RADIUS_M and turn[same].max() <= 45


def test_sets_are_far_apart(city):
    sets = [positions(city / name) for name in ("gsv_xs/train", *EVAL_SETS)]
    for i, one in enumerate(sets):
        for other in sets[:i]:
            assert distances(one, other).min() > 1000


@pytest.mark.parametrize("name", EVAL_SETS)
def test_nearly_every_query_has_a_positive(city, name):
    nearest = distances(positions(city / name / "queries"), positions(city / name / "database")).min(1)
    assert np.mean(nearest <= POSITIVE_RADIUS_M) >= 0.95


def test_a_killed_write_leaves_nothing(tmp_path):
    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "city", scale=0.1, progress=killed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("turn_deg", [-25.0, -12.0, 12.0, 25.0])
def test_turning_the_camera_moves_things_by_the_law_of_perspective(turn_deg):
    rng = np.random.default_rng(5)
    city = City(rng, plant_forest(rng), streets_each_way=2)
    x, y = city.plan.streets[0].point(40.0)
    focal = WIDTH / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2))
    moment = Moment("summer", "noon", "clear")
    before, after = (
        render(city, Camera(x, y, 2.3, heading, horizon=0.5), moment, 0, np.random.default_rng(1)).astype(float)
        for heading in (45.0, 45.0 + turn_deg)
    )
    eye_level = slice(HEIGHT // 2 - 1, HEIGHT // 2 + 1)  # there a turn moves things sideways only
    columns = np.arange(WIDTH)
    bearing = np.arctan((columns + 0.5 - WIDTH / 2) / focal) + np.radians(turn_deg)  # of the columns after, seen before
    source = np.floor(WIDTH / 2 + focal * np.tan(bearing)).astype(int)
    both = (source >= 0) & (source < WIDTH)
    moved = np.abs(after[eye_level][:, columns[both]] - before[eye_level][:, source[both]]).mean()
    unmoved = np.abs(after[eye_level][:, columns[both]] - before[eye_level][:, columns[both]]).mean()
    assert both.sum() > WIDTH // 3 and moved < 0.5 * unmoved
