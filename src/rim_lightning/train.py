"""rim-train: train RIM from the command line."""

import sys
import warnings

import hydra
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from rim_lightning.config_path import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def _hydra_main(cfg: DictConfig) -> float | None:
    # Not at the top of the file: `--help` should not wait for torch.
    from hydra.errors import InstantiationException
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from rim_lightning.callbacks.last_checkpoint import Interrupted
    from rim_lightning.finite_watch import NonFiniteLoss
    from rim_lightning.training import run

    warnings.filterwarnings(
        "ignore", message=".*does not have many workers.*|.*treespec.*|.*in eval mode at the start.*|.*not resumable.*"
    )
    try:
        figures = run(cfg)
    except MissingMandatoryValue as error:
        sys.exit(f"rim-train: {error.full_key} is not set; add {error.full_key}=<value> to the command.")
    except Interrupted as stop:
        print(f"rim-train: {stop}", file=sys.stderr)
        sys.exit(128 + stop.signum)
    except (OSError, ValueError, NonFiniteLoss, MisconfigurationException) as error:
        sys.exit(f"rim-train: {_sentence(error)}")
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        sys.exit(
            f"rim-train: A loader process died ({_sentence(error)}); the last checkpoint is untouched: look for a lack "
            "of memory, then go on with resume=true, or with workers=0."
        )
    except InstantiationException as error:
        sys.exit(f"rim-train: {error.__cause__ or error}")
    finally:
        if "wandb" in sys.modules:  # consecutive sweep jobs would otherwise log into one run
            sys.modules["wandb"].finish()
    return figures.get(cfg.optimised_metric) if cfg.optimised_metric else None


def _sentence(error: Exception) -> str:
    """The message; of an error in a loader process its last line, which follows a stack trace."""
    return str(error).strip().splitlines()[-1] if "Original Traceback" in str(error) else str(error)


def main() -> None:
    """Entry point of the `rim-train` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
