"""Settings are refused before any work: those whose names have changed, and those whose package is missing."""

import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.train import RENAMED, check_names, check_packages, complete_overrides
from rim_lightning.extras import MissingExtra
from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.overrides import override


@pytest.mark.parametrize("old", RENAMED)
def test_a_setting_of_the_first_version_is_refused_by_its_new_name(old):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg, good = (compose("train", overrides=["paths.output_dir=unused", *more]) for more in ([f"+{old}=1"], []))
    with pytest.raises(ValueError, match=rf"^{old} is called {RENAMED[old]} in this version: give {RENAMED[old]}="):
        check_names(cfg)
    check_names(good)
    assert OmegaConf.select(good, RENAMED[old], default="no such setting") != "no such setting"


def test_a_resumed_run_takes_its_settings_then_those_of_the_command(tmp_path):
    folder = tmp_path / "it's [x]"
    folder.mkdir()
    write_json(RunFolder(folder).origin, {"overrides": ["experiment=demo", "seed=1", "data.people=24"]})
    here = override("hydra.run.dir", folder)
    resumed = complete_overrides([here, "resume=true", "data.people=25"])
    assert resumed == ["experiment=demo", "seed=1", "data.people=25", here, "resume=true"]
    for overrides in ([here], [here, "resume=false"], [here, "resume=true", "model=tiny"], ["resume=true"]):
        assert complete_overrides(overrides) == overrides


NEEDS = {
    "logger=wandb": (["logger=wandb"], "wandb", "logger=wandb needs wandb"),
    "weights": (
        ["teacher.weights.weight_format=facenet_pytorch"],
        "facenet_pytorch",
        "teacher.weights.weight_format=facenet_pytorch needs facenet_pytorch",
    ),
    "network": (
        ["model.recognition.teacher={name: inception_resnet_v1}", "teacher=random"],
        "facenet_pytorch",
        "The network inception_resnet_v1 needs facenet_pytorch",
    ),
}


@pytest.mark.parametrize("name", NEEDS)
def test_a_setting_whose_package_is_missing_is_refused(name, monkeypatch):
    overrides, package, sentence = NEEDS[name]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg, other = (compose("train", overrides=["paths.output_dir=unused", *more]) for more in (overrides, []))
    check_packages(cfg)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=f"^{sentence}, which is not installed: pip install"):
        check_packages(cfg)
    check_packages(other)
