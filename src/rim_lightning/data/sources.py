"""Data sets by name, and the preparation of those that are missing."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record import Record


class Source(NamedTuple):
    """A data set that can be prepared.

    Attributes:
        name: Name of the set. The prepared store is called `<name>_<hr_size>`.
        read: Lists the images of the set with their annotations.
    """

    name: str
    read: Callable[[], list[Record]]


def call_reader(read: Callable[..., list[Record]], arguments: Mapping[str, Any]) -> list[Record]:
    """Read the list of a data set with arguments that a user chose.

    Raises:
        FileNotFoundError: If files of the source are missing.
        ValueError: If the reader has no such argument, or the files are laid out differently.
    """
    try:
        inspect.signature(read).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"source.reader: {error}.") from error
    return read(**arguments)


def prepare_missing(sources: Iterable[Source], prepared_dir: str | Path, hr_size: int, workers: int) -> None:
    """Prepare the stores of the sources that do not exist yet. An interrupted preparation is resumed.

    Args:
        sources: Data sets.
        prepared_dir: Folder of the prepared stores.
        hr_size: Side of an aligned face in pixels.
        workers: Number of processes; 0 works in this one.

    Raises:
        FileNotFoundError: If the files of a source are missing.
        ValueError: If a store exists that was made from other images, landmarks or splits.
    """
    listed = [(source.name, source.read()) for source in sources]  # a mistake in the last one is found at once
    for name, records in listed:
        prepare(records, Path(prepared_dir) / f"{name}_{hr_size}", name=name, hr_size=hr_size, workers=workers)
