"""rim-bench: the tables and figures of the paper from the command line."""

import sys

import hydra
from omegaconf import DictConfig

from rim_lightning.config_path import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="bench")
def _hydra_main(cfg: DictConfig) -> None:
    from rim_lightning.comparison.command import run

    try:
        run(cfg)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"rim-bench: {error}")


def main() -> None:
    """Entry point of the `rim-bench` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
