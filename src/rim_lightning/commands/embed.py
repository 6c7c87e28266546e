"""rim-embed: embed a tree of pictures, on every GPU of one or many machines."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from rim_lightning.commands.errors import Hints
from rim_lightning.commands.hydra_command import hydra_command
from rim_lightning.extras import require_extra

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.gallery.embedded_folder import EmbeddedFolder

SHOWN_LEFT_OUT = 20
"""Number of pictures left out that are named on the screen. The files name all of them."""


def run(cfg: DictConfig) -> EmbeddedFolder:
    """Embed `pictures` into `output` as `conf/embed.yaml` says.

    Returns:
        The folder of embeddings.

    Raises:
        OSError: If the pictures or the model are missing, or a file cannot be written.
        ValueError: If a setting is wrong, or the folder holds embeddings of other pictures or another model.
        Interrupted: If a signal requested the end of the command.
    """
    require_extra("packed", "A folder of embeddings")
    import torch  # not at the top of the file: `--help` should not wait for it
    from hydra.utils import instantiate

    from rim_lightning.data.detector_choice import checked_detector
    from rim_lightning.gallery.embed import embed_folder
    from rim_lightning.inference.recognizer import Recognizer

    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    settings = {name: cfg[name] for name in ("side", "aligned", "shard", "batch_size", "workers")}
    pictures, output = str(cfg.pictures), str(cfg.output)
    recognizer = Recognizer.from_checkpoint(str(cfg.checkpoint), detector=checked_detector(cfg.detector))
    trainer = instantiate(cfg.trainer, logger=False, enable_checkpointing=False, enable_model_summary=False)
    folder = embed_folder(recognizer, pictures, output, trainer, **settings)
    print(report(folder), flush=True)
    return folder


def report(folder: EmbeddedFolder) -> str:
    """Return a few lines: how many pictures are embedded, and which were left out."""
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


HINTS = Hints(
    dead_loader="the finished files are untouched. Check that the memory suffices, then repeat the command, or add "
    "workers=0"
)


@hydra_command("rim-embed", HINTS)
def main(cfg: DictConfig) -> None:
    """Embed a tree of pictures."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*treespec.*|.*has zero length.*")
    run(cfg)


if __name__ == "__main__":
    main()
