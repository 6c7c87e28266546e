"""rim-embed: embed a tree of pictures, on every GPU of one or many machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.errors import Hints
from rim_lightning.commands.hydra_command import hydra_command
from rim_lightning.commands.picture_notes import note_lines
from rim_lightning.commands.quiet import quiet_lightning
from rim_lightning.extras import require_extra
from rim_lightning.files import printable, real_path

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.gallery.embedded_folder import EmbeddedFolder

SHOWN_LEFT_OUT = 20
"""Number of pictures left out that are named on the screen. `LEFT_OUT` names all of them."""

LEFT_OUT = "_left_out.tsv"
"""File beside the embeddings: name and reason of every file of the tree that has none."""

NOTES = "_notes.tsv"
"""File beside the embeddings: pictures that were turned, and those with several faces."""


def run(cfg: DictConfig) -> EmbeddedFolder:
    """Embed `pictures` into `output` as `conf/embed.yaml` says.

    Returns:
        The folder of embeddings.

    Raises:
        OSError: If the pictures or the model are missing, or a file cannot be written.
        ValueError: If a setting is wrong, or the folder holds embeddings of other pictures or another model.
        Incomplete: If every picture was left out.
        Interrupted: If a signal requested the end of the command.
    """
    require_extra("packed", "A folder of embeddings")
    import torch  # not at the top of the file: `--help` should not wait for it
    from hydra.utils import instantiate

    from rim_lightning.data.detector_choice import checked_detector
    from rim_lightning.data.listing import image_files
    from rim_lightning.gallery.aligned_check import check_aligned
    from rim_lightning.gallery.embed import SIDES, EmbeddingProgress, embed_folder
    from rim_lightning.gallery.embedded_folder import is_embedded
    from rim_lightning.inference.faces import is_aligned
    from rim_lightning.inference.recognizer import Recognizer
    from rim_lightning.runs.incomplete import Incomplete
    from rim_lightning.runs.progress import say

    quiet_lightning(".*has zero length.*")
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    settings = {name: cfg[name] for name in ("side", "aligned", "shard", "batch_size", "workers")}
    pictures, output = str(cfg.pictures), str(cfg.output)
    if cfg.aligned in SIDES and cfg.aligned != cfg.side:
        raise ValueError(
            f"aligned={cfg.aligned}, but only side={cfg.side} is embedded: set aligned={cfg.side} or false."
        )
    settings["aligned"] = is_aligned(cfg.aligned, cfg.side)
    recognizer = Recognizer.from_checkpoint(str(cfg.checkpoint), detector=checked_detector(cfg.detector))
    if settings["aligned"] and not is_embedded(output):
        check_aligned(image_files(pictures), recognizer.aligner)
    trainer = instantiate(
        cfg.trainer,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[EmbeddingProgress()] if cfg.trainer.get("enable_progress_bar", True) else [],
    )
    folder = embed_folder(recognizer, pictures, output, trainer, **settings)
    say(*report(folder).splitlines())
    if not folder.missing() and len(folder.left_out()) == folder.manifest.count:
        raise Incomplete(f"None of the {folder.manifest.count} pictures of {pictures} could be embedded.", nothing=True)
    return folder


def report(folder: EmbeddedFolder) -> str:
    """Return a few lines: how many pictures are embedded, and which were left out."""
    from rim_lightning.data.unused import write_list  # not at the top of the file: `--help` should not wait for it

    missing = len(folder.missing())
    if missing:
        return f"{folder.path}: this process is done, others have {missing} of {len(folder.shards)} files to write"
    left_out = folder.left_out()
    count = folder.manifest.count
    lines = [f"{folder.path}: {count - len(left_out)} of {count} pictures embedded, {len(left_out)} left out"]
    reasons, hidden = _not_listed(Path(folder.manifest.pictures), folder.path)
    left_out |= reasons
    lines += [f"  left out: {why}" for why in list(left_out.values())[:SHOWN_LEFT_OUT]]
    file = write_list(folder.path, [_entry(name, why) for name, why in left_out.items()], LEFT_OUT)
    if len(left_out) > SHOWN_LEFT_OUT:
        lines.append(f"  ... and {len(left_out) - SHOWN_LEFT_OUT} more: {file or folder.path} names them all")
    notes = folder.notes()
    file = write_list(folder.path, [_entry(name, note) for note, names in notes.items() for name in names], NOTES)
    printed = {note: [printable(name) for name in names] for note, names in notes.items()}
    lines += [f"  {line}" for line in note_lines(printed, f"{file or folder.path} names them all")]
    if hidden:
        lines.append(f"  hidden and system files and folders are never read: {len(hidden)}, the first is {hidden[0]}")
    return "\n".join(map(printable, lines))


def _entry(name: str, reason: str) -> dict[str, str]:
    return {"name": printable(name), "reason": printable(reason)}


def _not_listed(pictures: Path, output: Path) -> tuple[dict[str, str], list[str]]:
    """Return the files of a tree that are not listed as pictures, each with a sentence, and the hidden ones.

    Files of the output are neither.
    """
    from rim_lightning.data.listing import list_folder, why_not

    if not pictures.is_dir():
        return {}, []
    listing = list_folder(pictures)
    own = real_path(output)
    others = [path for path in listing.others if not real_path(path).is_relative_to(own)]
    names = {path: printable(str(path.relative_to(pictures))) for path in (*others, *listing.hidden)}
    return (
        {names[path]: f"{names[path]} {why_not(path).reason}." for path in others},
        [names[path] for path in listing.hidden],
    )


HINTS = Hints(
    dead_loader="the finished files are untouched. Check that the memory suffices, then repeat the command, or add "
    "workers=0"
)


@hydra_command("rim-embed", HINTS)
def main(cfg: DictConfig) -> None:
    """Embed a tree of pictures."""
    run(cfg)


if __name__ == "__main__":
    main()
