"""rim-embed: embed a tree of pictures, on every GPU of one or many machines."""

import sys
import warnings
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from rim_lightning.commands.config_path import CONF_DIR

if TYPE_CHECKING:
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder

SHOWN_LEFT_OUT = 20  # the files name all


def run(cfg: DictConfig) -> "EmbeddedFolder":
    """Embed `pictures` into `output` as `conf/embed.yaml` says.

    Raises:
        FileNotFoundError, ValueError: wrong settings, pictures or model, in one sentence; else as `embed_folder`.
    """
    import torch
    from hydra.utils import instantiate

    from rim_lightning.gallery.embed import embed_folder
    from rim_lightning.inference.recognizer import Recognizer

    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    settings = {name: cfg[name] for name in ("side", "aligned", "shard", "batch_size", "workers")}
    pictures, output = str(cfg.pictures), str(cfg.output)
    recognizer = Recognizer.from_checkpoint(str(cfg.checkpoint))
    trainer = instantiate(cfg.trainer, logger=False, enable_checkpointing=False, enable_model_summary=False)
    folder = embed_folder(recognizer, pictures, output, trainer, **settings)
    print(report(folder), flush=True)
    return folder


def report(folder: "EmbeddedFolder") -> str:
    """How far the embeddings are, and what was left out, as text."""
    missing = len(folder.missing())
    if missing:
        return f"{folder.path}: this process is done, others have {missing} of {len(folder.shards)} files to write"
    left_out = folder.left_out()
    count = folder.manifest.count
    lines = [f"{folder.path}: {count - len(left_out)} of {count} pictures embedded, {len(left_out)} left out"]
    lines += [f"  left out: {why}" for why in list(left_out.values())[:SHOWN_LEFT_OUT]]
    if len(left_out) > SHOWN_LEFT_OUT:
        lines.append(
            f"  ... and {len(left_out) - SHOWN_LEFT_OUT} more: the rows of the files whose left_out is not null"
        )
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="embed")
def _hydra_main(cfg: DictConfig) -> None:
    # Not at the top of the file: `--help` should not wait for torch.
    from hydra.errors import InstantiationException
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from rim_lightning.runs.signals import Interrupted

    warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*treespec.*|.*has zero length.*")
    try:
        run(cfg)
    except MissingMandatoryValue as error:
        sys.exit(f"rim-embed: {error.full_key} is not set; add {error.full_key}=<value> to the command.")
    except Interrupted as stop:
        print(f"rim-embed: {stop}", file=sys.stderr)
        sys.exit(128 + stop.signum)
    except (OSError, ValueError, ImportError, MisconfigurationException) as error:
        sys.exit(f"rim-embed: {_sentence(error)}")
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        sys.exit(
            f"rim-embed: A loader process died ({_sentence(error)}); the finished files are untouched: look for a lack "
            "of memory, then give the same command again, or with workers=0."
        )
    except InstantiationException as error:
        sys.exit(f"rim-embed: {error.__cause__ or error}")


def _sentence(error: Exception) -> str:
    """The message; of an error in a loader process that of its last line, which follows a stack trace."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    text = str(error).strip()
    return text.splitlines()[-1].partition(": ")[2] if "Original Traceback" in text else text


def main() -> None:
    """Entry point of the `rim-embed` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
