"""The way from a configuration to plain values. Below `training.run` and the commands there is no OmegaConf."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain(settings: DictConfig, throw_on_missing: bool = False) -> dict[str, Any]:
    """Return a part of a configuration as plain containers, with all references resolved.

    Args:
        settings: A mapping of the configuration.
        throw_on_missing: Whether a required setting that is missing is an error.

    Raises:
        MissingMandatoryValue: If a required setting is missing and `throw_on_missing` is given.
    """
    return dict(OmegaConf.to_container(settings, resolve=True, throw_on_missing=throw_on_missing))  # type: ignore[arg-type]
