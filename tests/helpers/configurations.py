"""Configurations of the commands, made outside a Hydra app."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from rim_lightning.commands.config_path import CONF_DIR


def configuration(command: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a command; Hydra is not initialized afterwards."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(command, overrides=list(overrides))


def training_configuration(overrides: Sequence[str]) -> DictConfig:
    """What `comparison` gets to make configurations of rim-train."""
    return configuration("train", overrides)
