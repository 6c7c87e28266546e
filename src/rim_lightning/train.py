"""rim-train: train RIM from the command line."""

import sys
import warnings

import hydra
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from rim_lightning.config_path import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def _hydra_main(cfg: DictConfig) -> float | None:
    from rim_lightning.module import NonFiniteLoss  # not at the top: `--help` should not wait for torch
    from rim_lightning.training import run

    warnings.filterwarnings(
        "ignore", message=".*does not have many workers.*|.*treespec.*|.*in eval mode at the start.*"
    )
    try:
        figures = run(cfg)
    except MissingMandatoryValue as error:
        sys.exit(f"rim-train: {error.full_key} is not set; add {error.full_key}=<value> to the command.")
    except (FileNotFoundError, ValueError, NonFiniteLoss) as error:
        sys.exit(f"rim-train: {error}")
    finally:
        if "wandb" in sys.modules:  # consecutive sweep jobs would otherwise log into one run
            sys.modules["wandb"].finish()
    return figures.get(cfg.optimised_metric) if cfg.optimised_metric else None


def main() -> None:
    """Entry point of the `rim-train` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
