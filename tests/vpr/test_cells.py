"""Places of CosPlace's kind, and batches of one group."""

import numpy as np
import pytest

from vpr.batches import PlaceSampler
from vpr.cells import CELLS_APART, classes, groups_of_places
from vpr.config import DataConfig
from vpr.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
UTM = np.column_stack([RNG.uniform(540e3, 540.2e3, 4000), RNG.uniform(4170e3, 4170.2e3, 4000), np.full(4000, 10.0)])
HEADINGS = RNG.uniform(0, 360, 4000)


def cosplace(east, north, heading, cell=10, sector=30, apart=5, sectors_apart=2):
    """The paper's definition, image by image."""
    key = (int(east // cell), int(north // cell), int(heading // sector))
    return key, (key[0] % apart, key[1] % apart, key[2] % sectors_apart)


def test_classes_and_groups_are_those_of_the_paper():
    places, groups = classes(UTM, HEADINGS)
    expected = [cosplace(*where[:2], heading) for where, heading in zip(UTM, HEADINGS, strict=True)]
    assert len(set(zip(places.tolist(), (key for key, _ in expected), strict=True))) == len(set(places.tolist()))
    assert len({key for key, _ in expected}) == len(set(places.tolist())) == places.max() + 1
    assert len(set(zip(groups.tolist(), (group for _, group in expected), strict=True))) == len(
        {g for _, g in expected}
    )
    assert len({group for _, group in expected}) == 50


@pytest.mark.parametrize("sector_deg", [30.0, 120.0, 72.0, 360.0, 22.5])
def test_no_two_places_of_a_group_touch(sector_deg):
    places, groups = classes(UTM, HEADINGS, 10.0, sector_deg)
    _, first = np.unique(places, return_index=True)
    cells = np.floor(UTM[first, :2] / 10)
    sectors = HEADINGS[first] // sector_deg
    count = 360 / sector_deg
    for group in np.unique(groups):
        mine = groups[first] == group
        apart = np.abs(cells[mine][:, None] - cells[mine][None]).max(-1)
        turn = np.abs(sectors[mine][:, None] - sectors[mine][None])
        turn = np.minimum(turn, count - turn)
        assert (((apart >= CELLS_APART) | (turn >= 2)) | ((apart == 0) & (turn == 0))).all()


def test_headings_wrap_and_zones_are_kept_apart():
    utm = np.array([[5.0, 5.0, 10.0]] * 4 + [[5.0, 5.0, -10.0]])
    places, _ = classes(utm, np.array([1.0, 361.0, -359.0, 359.9999999999999999, 1.0]))
    assert places[0] == places[1] == places[2] and len(set(places.tolist())) == 2


def test_images_without_heading_share_a_class_of_their_cell():
    utm = np.array([[5.0, 5.0, np.nan]] * 3 + [[15.0, 5.0, np.nan]])
    places, groups = classes(utm, np.array([np.nan, np.nan, 1.0, np.nan]))
    assert places.tolist() == [0, 0, 1, 2] and groups[0] == groups[1] and len(set(groups.tolist())) == 3


@pytest.mark.parametrize("sector_deg", [0.0, 7.0, 361.0, 31.0])
def test_a_sector_that_does_not_divide_the_circle_is_refused(sector_deg):
    with pytest.raises(ConfigError, match="does not divide 360"):
        classes(UTM, HEADINGS, 10.0, sector_deg)


def test_groups_follow_places_that_are_left_out():
    labels, groups = np.array([-1, 0, 0, 1, -1]), np.array([9, 3, 3, 4, 9])
    assert groups_of_places(labels, groups).tolist() == [3, 4]


def sampler(groups, seed=0, places=4, views=2, count=37):
    labels = np.repeat(np.arange(count), 3)
    config = DataConfig(places_per_batch=places, images_per_place=views)
    return labels, PlaceSampler(labels, config, seed, groups)


def test_a_batch_is_of_one_group_and_every_place_has_its_turn():
    groups = RNG.integers(0, 4, 37)
    labels, batches = sampler(groups)
    seen = [labels[batch][::2] for batch in batches]
    assert len(seen) == len(batches) == sum(-(-np.sum(groups == group) // 4) for group in range(4))
    assert all(len(set(groups[batch])) == 1 and len(set(batch)) == 4 for batch in seen)
    assert set(np.concatenate(seen)) == set(range(37)) and batches.left_out == 0
    assert [groups[batch[0]] for batch in seen] != sorted(groups[batch[0]] for batch in seen)


def test_the_order_follows_the_seed_and_continues_from_a_state():
    groups = np.arange(37) % 3
    _, first = sampler(groups)
    _, same = sampler(groups)
    _, other = sampler(groups, seed=1)
    begun = [batch.tolist() for batch in first]
    assert begun == [batch.tolist() for batch in same] != [batch.tolist() for batch in other]
    _, resumed = sampler(groups, seed=5)
    resumed.load_state_dict(first.state_dict())
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in resumed]


def test_groups_smaller_than_a_batch_are_left_out_and_counted():
    groups = np.array([0] * 30 + [1] * 4 + [2] * 3)
    labels, batches = sampler(groups)
    assert batches.left_out == 3 and set(labels[np.concatenate(list(batches))]) == set(range(34))
    with pytest.raises(DataError, match="37 places, 30 in the largest of its 3 groups, but data/places_per_batch=31"):
        sampler(groups, places=31)


def test_without_groups_the_batches_are_those_of_earlier_versions():
    labels, batches = sampler(None, count=10)
    generator = np.random.default_rng(0)
    images = np.split(np.arange(30), range(3, 30, 3))
    for _ in range(2):  # epochs
        order = generator.permutation(10)
        order = np.concatenate([order, generator.permutation(order[:4])[:2]])
        for batch, places in zip(batches, order.reshape(3, 4), strict=True):
            drawn = [generator.choice(images[place], 2, replace=False) for place in places]
            assert batch.tolist() == np.concatenate(drawn).tolist()
