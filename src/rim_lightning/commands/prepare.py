"""rim-prepare: prepare a data set, or all of them, from the command line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.errors import Hints
from rim_lightning.commands.hydra_command import hydra_command
from rim_lightning.commands.picture_notes import first_names, note_lines

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rim_lightning.data.readers.record import Record
    from rim_lightning.data.stores.prepared import PreparedStore
    from rim_lightning.data.unused import UnusedFiles

SHOWN_SKIPS = 20
"""Number of skipped pictures that are named on the screen. A file in the store lists all of them."""


def run(cfg: DictConfig) -> list[PreparedStore]:
    """Prepare the data set that `source` names, or each one if `source` is a group of data sets.

    With `download`, what is missing of that set is fetched before.

    Returns:
        The prepared stores.

    Raises:
        OSError: If the data are missing, or cannot be fetched.
        ValueError: If the data are laid out differently, or a setting is wrong.
        SystemExit: If the terms of a set to fetch are not accepted.
    """
    from rim_lightning.data.preparation import checked_settings  # not at the top: `--help` should not wait for it

    sources = [cfg.source] if "reader" in cfg.source else list(cfg.source.values())
    if len(sources) > 1 and cfg.output is not None:
        raise ValueError("output names one store; with several sources set paths.prepared_dir instead.")
    checked_settings(cfg.hr_size, cfg.margin, cfg.alignment, cfg.landmarks, cfg.detector, cfg.workers)
    outputs = [_output_of(cfg, source) for source in sources]
    if "download" in cfg:
        from rim_lightning.commands.set_download import fetch_set

        fetch_set(cfg)
    listed = [
        _records_of(source, outputs) for source in sources
    ]  # all of them: a mistake in the last one is found at once
    return [_prepare_source(cfg, *arguments) for arguments in zip(sources, outputs, listed, strict=True)]


def _output_of(cfg: DictConfig, source: DictConfig) -> Path:
    """Return the folder of a store. Raises ValueError if it holds none and none can be made there."""
    from rim_lightning.data.stores.prepared import MANIFEST
    from rim_lightning.files import check_writable

    setting = "output" if cfg.output is not None else "paths.prepared_dir"
    folder = cfg.output if cfg.output is not None else cfg.paths.prepared_dir
    if not source.name or Path(str(source.name)).name != str(source.name):
        raise ValueError(f"source.name is '{source.name}'; it must be a name of a folder.")
    if not str(folder or "").strip():
        raise ValueError(f"{setting} is empty; name a folder.")
    output = Path(folder) if cfg.output is not None else Path(folder, f"{source.name}_{cfg.hr_size}")
    if not (output / MANIFEST).is_file():
        check_writable(output, setting)
    return output


def _records_of(source: DictConfig, outputs: Sequence[Path]) -> tuple[list[Record], UnusedFiles]:
    """Read the list of a data set, and the files that it does not name. Those in `outputs` are ours."""
    from hydra.utils import get_method  # not at the top of the file: `--help` should not wait for it
    from omegaconf import OmegaConf

    from rim_lightning.data.sources import call_reader
    from rim_lightning.data.unused import files_among, unused_files

    arguments: Any = OmegaConf.to_container(source.reader, resolve=True, throw_on_missing=True)
    read = get_method(arguments.pop("_target_"))
    empty = [name for name, value in arguments.items() if isinstance(value, str) and not value.strip()]
    if empty:
        raise ValueError(f"source.reader.{empty[0]} is empty; add source.reader.{empty[0]}=<value> to the command.")
    records = call_reader(read, arguments)
    return records, unused_files(records, [*files_among(arguments), *outputs])


def _prepare_source(
    cfg: DictConfig, source: DictConfig, output: Path, listed: tuple[list[Record], UnusedFiles]
) -> PreparedStore:
    from rim_lightning.data.preparation import prepare
    from rim_lightning.data.sources import check_on_faces
    from rim_lightning.data.stores.prepared import MANIFEST
    from rim_lightning.runs.progress import say

    start = time.perf_counter()
    records, unused = listed
    if cfg.landmarks == "auto" and not (output / MANIFEST).is_file():
        check_on_faces(records, source.name)
    store = prepare(
        records,
        output,
        name=source.name,
        hr_size=cfg.hr_size,
        margin=cfg.margin,
        alignment=cfg.alignment,
        landmarks=cfg.landmarks,
        detector=cfg.detector,
        workers=cfg.workers,
    )
    say(*report(store, time.perf_counter() - start, unused).splitlines())
    return store


def report(store: PreparedStore, seconds: float, unused: UnusedFiles) -> str:
    """Return a few lines: what a store holds, and which files were left out. A file in the store names all of them."""
    # not at the top of the file: `--help` should not wait for it
    from rim_lightning.data.unused import left_out_files, write_list
    from rim_lightning.files import printable
    from rim_lightning.gallery.names import alike_names

    splits = Counter(store.splits)
    counts = ", ".join(f"{splits[split]} {split}" for split in ("train", "val", "test") if splits[split])
    labels = [*store.landmarks, *(["parsing"] if store.parsing is not None else [])]
    people = f", {len(store.identities)} people" if store.identities else ""
    skipped = left_out_files(store, unused)
    detected = sum(sample["detected"] for sample in store.manifest["samples"])
    lines = [
        f"{store.path}: {len(store)} images ({counts}){people}, labels: {', '.join(labels) or 'none'}, "
        f"{detected} found by detection, {len(skipped)} left out, {seconds:.1f} s"
    ]
    lines += _left_out(skipped, len(store) + len(skipped), write_list(store.path, skipped))
    lines += _notes(store)
    if unused.hidden:
        lines.append(f"  hidden and system files and folders are never read: {first_names(unused.hidden)}")
    lines += [f"  these people may be one: {', '.join(map(repr, names))}" for names in alike_names(store.identities)]
    return "\n".join(map(printable, lines))


def _notes(store: PreparedStore) -> list[str]:
    """Return lines on pictures that were turned or show several faces, and write the file that names all of them."""
    from rim_lightning.data.stores.prepared import MANIFEST
    from rim_lightning.data.unused import NOTES, detection_notes, write_list

    notes = detection_notes(store)
    file = write_list(store.path, notes, NOTES)
    pictures_of: dict[str, list[str]] = {}
    for entry in notes:
        pictures_of.setdefault(entry["reason"], []).append(entry["name"])
    return [f"  {line}" for line in note_lines(pictures_of, f"{file or store.path / MANIFEST} names them all")]


def _left_out(skipped: list[dict[str, str]], count: int, file: Path | None) -> list[str]:
    """Return a line for each file that was left out; one for each reason if they are many.

    Args:
        skipped: Name and reason of each file that was left out.
        count: Number of all files.
        file: File that names all of them. None if it could not be written.
    """
    kinds: dict[str, list[dict[str, str]]] = {}
    for entry in skipped:
        kinds.setdefault(entry["reason"].partition(" (")[0].partition(":")[0], []).append(entry)
    lines = [
        f"  {len(entries)} of {count} pictures have the same fault; it may be one of the whole source"
        for kind, entries in kinds.items()
        if kind.startswith("has landmarks") and 2 * len(entries) > count
    ]
    if len(skipped) <= SHOWN_SKIPS or file is None:
        return lines + [f"  left out {entry['name']}: {entry['reason']}" for entry in skipped]
    for entries in sorted(kinds.values(), key=len, reverse=True):
        lines.append(f"  left out {first_names([entry['name'] for entry in entries])}: {entries[0]['reason']}")
    return [*lines, f"  {file} names them all"]


def check_usable(stores: Sequence[PreparedStore]) -> None:
    """Refuse to call it a success if more pictures of a data set were left out than prepared.

    A few of them are usual in a large set: they are named and counted, and the command succeeds.

    Raises:
        Incomplete: If there is such a set. Its store is written.
    """
    from rim_lightning.data.unused import LEFT_OUT
    from rim_lightning.runs.incomplete import Incomplete

    for store in stores:
        skipped = len(store.manifest["skipped"])
        if skipped > len(store):
            raise Incomplete(
                f"{skipped} of {skipped + len(store)} pictures were left out of {store.path}, which holds the others: "
                f"{store.path / LEFT_OUT} says why; to prepare it anew, delete it and repeat the command.",
                nothing=False,
            )


@hydra_command("rim-prepare", Hints(value="<folder>"))
def main(cfg: DictConfig) -> None:
    """Prepare a data set, or all data sets."""
    check_usable(run(cfg))


if __name__ == "__main__":
    main()
