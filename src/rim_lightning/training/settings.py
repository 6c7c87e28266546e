"""Conversion of a configuration to plain containers. Only `training.run` and the commands handle OmegaConf objects."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain(settings: DictConfig, throw_on_missing: bool = False) -> dict[str, Any]:
    """Return a part of a configuration as plain containers, with all references resolved.

    Args:
        settings: A mapping of the configuration.
        throw_on_missing: True to raise an error if a required setting is missing.

    Raises:
        MissingMandatoryValue: If a required setting is missing and `throw_on_missing` is True.
    """
    return dict(OmegaConf.to_container(settings, resolve=True, throw_on_missing=throw_on_missing))  # type: ignore[arg-type]
