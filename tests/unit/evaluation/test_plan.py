"""The settings of an evaluation become value objects, and wrong names get one sentence."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.evaluation.plan import FacesPlan, evaluation_plan
from rim_lightning.networks.usage import SizeCurve, Usage


@pytest.fixture(scope="module")
def settings():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("eval", overrides=["checkpoint=last.ckpt", "paths.output_dir=unused"])
    return OmegaConf.to_container(cfg.evaluation, resolve=True)


def test_the_configuration_has_all_settings(settings):
    plan = evaluation_plan(settings)
    assert plan.probe_sizes == [16]
    assert plan.sr == FacesPlan(["helen"], "test", None, 1.0, "five", "y", 0)
    assert plan.lfw.images == "lfw-deepfunneled"
    assert plan.verification_pairs == 3000
    assert plan.usage() == Usage()
    mixed = evaluation_plan(settings | {"shift": 0.02, "mixture": [[8, 56], [1, 0]]})
    assert mixed.usage() == Usage(shift=0.02, mixture=SizeCurve((8.0, 56.0), (1.0, 0.0)))
    with pytest.raises(ValueError, match="The mixture needs a weight from 0 to 1 for each of its sizes"):
        evaluation_plan(settings | {"mixture": [[8, 56], [1, 2]]})


@pytest.mark.parametrize(
    ("group", "change", "sentence"),
    [
        (
            None,
            {"size": 8},
            "There is no setting evaluation.size; choose from probe_sizes, degradation, misalignment, flip",
        ),
        ("sr", {"border": 8}, "There is no setting evaluation.sr.border; choose from sets, split"),
        ("lfw", {"roots": "x"}, "There is no setting evaluation.lfw.roots; choose from root, images"),
    ],
)
def test_an_unknown_setting_is_named(settings, group, change, sentence):
    wrong = settings | (change if group is None else {group: settings[group] | change})
    with pytest.raises(ValueError, match=sentence):
        evaluation_plan(wrong)


def test_a_missing_setting_is_named(settings):
    lfw = {name: value for name, value in settings["lfw"].items() if name != "pairs"}
    with pytest.raises(ValueError, match=r"evaluation.lfw.pairs is not set; add evaluation.lfw.pairs=<value>"):
        evaluation_plan(settings | {"lfw": lfw})
