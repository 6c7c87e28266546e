"""rim-compare: the tables and figures of the paper from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rim_lightning.commands.hydra_command import hydra_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra_command("rim-compare")
def main(cfg: DictConfig) -> None:
    """Train and measure what a table or figure shows, and write it."""
    from rim_lightning.comparison.run import compare  # not at the top of the file: `--help` should not wait for torch

    compare(cfg, _compose_training)


def _compose_training(overrides: Sequence[str]) -> DictConfig:
    """Make the configuration of rim-train within this command."""
    from hydra import compose

    return compose("train", overrides=list(overrides))


if __name__ == "__main__":
    main()
