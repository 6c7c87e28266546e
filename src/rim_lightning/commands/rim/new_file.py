"""Checks of a file that is to be written, before any work."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path


def check_png(target: Path) -> None:
    """Check that a path is a place for a PNG file.

    Raises:
        ValueError: If it has another ending, or is a folder.
    """
    check_ending(target, (".png",), "PNG file")


def check_ending(target: Path, endings: Sequence[str], what: str) -> None:
    """Check that a path is a place for a file of some format.

    Args:
        target: The path.
        endings: Endings that name the format, with their dots.
        what: What the file is, for the message.

    Raises:
        ValueError: If it has another ending, or is a folder.
    """
    if target.suffix.lower() not in endings:
        raise ValueError(f"{target} does not end in {' or '.join(endings)}: give the {what} to write.")
    if target.is_dir():
        raise ValueError(f"{target} is a folder: give the {what} to write.")


def check_new_file(file: Path, sources: Collection[str], overwrite: bool) -> None:
    """Check that a file may be written.

    Args:
        file: The file.
        sources: Real paths of the files that are read.
        overwrite: True if another file may be replaced.

    Raises:
        ValueError: If it is one of them, or exists already.
    """
    if os.path.realpath(file) in sources:
        raise ValueError(f"{file} is read, and would be overwritten: choose another place.")
    if file.exists() and not overwrite:
        raise ValueError(f"{file} exists already: choose another place, or add --overwrite.")
