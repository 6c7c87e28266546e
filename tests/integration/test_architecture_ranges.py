"""The network of every configuration is within the ranges that a file of somebody else may use."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.networks.architecture_check import check_architecture
from tests.helpers.configurations import training_configuration

EXPERIMENTS = sorted(file.stem for file in Path(CONF_DIR, "experiment").glob("*.yaml"))
MODELS = sorted(file.stem for file in Path(CONF_DIR, "model").glob("*.yaml"))


@pytest.mark.parametrize(
    "override", [*(f"experiment={name}" for name in EXPERIMENTS), *(f"model={name}" for name in MODELS)]
)
def test_a_checkpoint_of_every_configuration_can_be_loaded(override):
    cfg = training_configuration([override])
    names = {"model": "rim", "super_resolver": "super_resolver", "recognizer": "recognizer"}
    (key,) = (key for key in names if key in cfg.system)
    check_architecture(names[key], OmegaConf.to_container(cfg.system[key], resolve=True), "last.ckpt")
