"""rim-compare: the tables and figures of the paper from the command line."""

import sys

import hydra
from omegaconf import DictConfig

from rim_lightning.commands.config_path import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="compare")
def _hydra_main(cfg: DictConfig) -> None:
    # Not at the top of the file: `--help` should not wait for torch.
    from hydra.errors import HydraException

    from rim_lightning.comparison.run import run

    try:
        run(cfg)
    except (OSError, ValueError, ImportError, HydraException) as error:
        sys.exit(f"rim-compare: {error}")


def main() -> None:
    """Entry point of the `rim-compare` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
