"""rim-train: train RIM from the command line."""

import logging
import os
import sys
import warnings

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from rim_lightning.commands.config_path import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def _hydra_main(cfg: DictConfig) -> float | None:
    # Not at the top of the file: `--help` should not wait for torch.
    from hydra.errors import InstantiationException
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from rim_lightning.runs.signals import Interrupted
    from rim_lightning.training.finite_watch import NonFiniteLoss
    from rim_lightning.training.run import run

    warnings.filterwarnings(
        "ignore", message=".*does not have many workers.*|.*treespec.*|.*in eval mode at the start.*|.*not resumable.*"
    )
    tips = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    tips.addFilter(lambda record: "litlogger" not in record.getMessage())  # an advertisement
    try:
        check_directory(HydraConfig.get())
        figures = run(cfg)
    except MissingMandatoryValue as error:
        sys.exit(f"rim-train: {error.full_key} is not set; add {error.full_key}=<value> to the command.")
    except Interrupted as stop:
        print(f"rim-train: {stop}", file=sys.stderr)
        sys.exit(128 + stop.signum)
    except (OSError, ValueError, ImportError, NonFiniteLoss, MisconfigurationException) as error:
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
    return figures.get(cfg.optimized_metric) if cfg.optimized_metric else None


def check_directory(hydra_config: DictConfig) -> None:
    """Processes that something else than Lightning started must agree on the directory of the run.

    Raises:
        ValueError: it is left to the clock, which each process reads for itself.
    """
    launched = int(os.environ.get("SLURM_NTASKS", 1)) > 1 or "TORCHELASTIC_RUN_ID" in os.environ
    if launched and not any(override.startswith("hydra.run.dir=") for override in hydra_config.overrides.hydra):
        raise ValueError(
            "Several processes were started by torchrun or SLURM: add hydra.run.dir=<directory> to the command, the "
            "same for all, and resume=true to go on with it later."
        )


def _sentence(error: Exception) -> str:
    """The message; of an error in a loader process its last line, which follows a stack trace."""
    return str(error).strip().splitlines()[-1] if "Original Traceback" in str(error) else str(error)


def main() -> None:
    """Entry point of the `rim-train` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
