"""One tree, one spelling: every leaf by its path, every fault named."""

from pathlib import Path

import pytest

from vpr import reference
from vpr.config import TrialConfig
from vpr.errors import ConfigError
from vpr.leaves import all_leaves, from_leaves, parse_assignments, to_leaves, to_text


def test_defaults_are_the_studys_base_run():
    leaves = to_leaves(TrialConfig())
    assert (
        leaves["model/backbone"] == "resnet18" and leaves["model/aggregation"] == "gem" and leaves["model/dim"] == 512
    )
    assert (leaves["data/places_per_batch"], leaves["data/images_per_place"]) == (64, 4)
    assert leaves["optimizer/name"] == "sgd" and leaves["optimizer/momentum"] == 0.9
    assert leaves["loss/name"] == "contrastive" and (leaves["loss/pos_margin"], leaves["loss/neg_margin"]) == (0.0, 1.0)


def test_the_page_of_all_leaves_is_that_of_the_tree():
    """If it is not: `python -m vpr.reference > docs/configuration.md`."""
    page = (Path(reference.__file__).parents[1] / "docs/configuration.md").read_text()
    assert page == reference.page()
    assert all(f"| `{name}` |" in page for name in all_leaves()) and "|  |" not in page


def test_text_and_back_for_every_leaf_of_every_choice():
    for name, (field, _) in all_leaves().items():
        for choice in field.metadata.get("choices", ()):
            config = from_leaves({name: choice}) if "owners" not in field.metadata else TrialConfig()
            assert from_leaves({leaf: to_text(leaf, value) for leaf, value in to_leaves(config).items()}) == config


def test_a_parameter_exists_only_where_its_owner_is_chosen():
    assert "optimizer/momentum" not in to_leaves(from_leaves({"optimizer/name": "adam"}))
    assert from_leaves({"loss/name": "arcface"}).loss.margin_deg == 28.6
    with pytest.raises(
        ConfigError, match=r"optimizer/momentum does not exist for optimizer/name=adam; it belongs to sgd"
    ):
        from_leaves({"optimizer/name": "adam", "optimizer/momentum": 0.9})


def test_a_new_choice_drops_the_old_ones_parameters_of_the_base():
    base = from_leaves({"loss/name": "triplet", "loss/margin": 0.1})
    assert from_leaves({"loss/name": "arcface"}, base).loss.margin is None
    sgd = from_leaves({"optimizer/momentum": 0.8})
    assert from_leaves({"optimizer/name": "rmsprop"}, sgd).optimizer.momentum == 0.0
    assert from_leaves({"optimizer/lr": 0.1}, sgd).optimizer.momentum == 0.8


@pytest.mark.parametrize(
    ("leaves", "message"),
    [
        ({"optimizer/lrr": 1}, "no leaf 'optimizer/lrr'; did you mean optimizer/lr"),
        ({"loss/name": "contrastiv"}, r"loss/name=contrastiv does not exist \(did you mean contrastive"),
        ({"optimizer/lr": "-1"}, "optimizer/lr=-1 is out of range; allowed: a number > 0"),
        ({"optimizer/lr": "nan"}, "optimizer/lr=nan is not valid"),
        ({"training/epochs": "2.5"}, "training/epochs=2.5 is not valid; allowed: a whole number"),
        ({"data/image_size": "128"}, "data/image_size=128 is not valid; allowed: HEIGHTxWIDTH"),
        ({"model/backbone": "resnet19"}, "timm:NAME"),
        ({"optimizer/nesterov": "maybe"}, "true or false"),
        ({"optimizer/nesterov": "true", "optimizer/momentum": "0"}, "needs optimizer/momentum above 0"),
        ({"scheduler/warmup_epochs": 10}, "leaves nothing of training/epochs=10"),
        ({"optimizer/lr": "none"}, "optimizer/lr"),
    ],
)
def test_a_fault_names_the_leaf_the_value_and_the_way_out(leaves, message):
    with pytest.raises(ConfigError, match=message):
        from_leaves(leaves)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match="optimizer/lr=0 .*; there is no leaf .loss/nam"):
        from_leaves({"optimizer/lr": 0, "loss/nam": "circle"})


def test_values_keep_their_meaning_in_text():
    config = from_leaves(
        {
            "data/image_size": "128x224",
            "model/dim": "none",
            "scheduler/name": "multistep",
            "scheduler/milestones": "2,4",
        }
    )
    assert config.data.image_size == (128, 224) and config.model.dim is None and config.scheduler.milestones == (2, 4)


def test_assignments():
    assert parse_assignments(["optimizer/lr=0.01", "model/weights=a=b"]) == {
        "optimizer/lr": "0.01",
        "model/weights": "a=b",
    }
    with pytest.raises(ConfigError, match="no '='"):
        parse_assignments(["optimizer/lr"])
    with pytest.raises(ConfigError, match="given twice"):
        parse_assignments(["optimizer/lr=1", "optimizer/lr=2"])
