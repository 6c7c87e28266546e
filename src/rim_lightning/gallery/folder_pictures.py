"""The pictures of a folder as a gallery compares them: person, path and content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rim_lightning.files import content_digest, in_threads, printable, real_path
from rim_lightning.gallery.names import person_of, utf8_text


class FolderPicture(NamedTuple):
    """A picture of a folder.

    Attributes:
        person: Name of the person.
        source: Absolute path.
        digest: SHA-256 of the file.
    """

    person: str
    source: str
    digest: str


def read_pictures(
    folder: Path, files: Sequence[Path], progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> tuple[list[FolderPicture], dict[str, str]]:
    """Read the content of pictures for their digests. Size and date of a file would not do: copying tools keep them.

    Args:
        folder: Folder that was asked for.
        files: Its pictures.
        progress: Wraps the list of files in a progress bar.

    Returns:
        The pictures in the order of the files, and path -> reason for those that cannot be read.
    """
    root = real_path(folder)
    pictures: list[FolderPicture] = []
    left_out: dict[str, str] = {}
    results = in_threads(lambda path: _picture_or_error(path, folder, root), files)
    for path, result in zip(progress(files), results, strict=True):
        if isinstance(result, FolderPicture):
            pictures.append(result)
        else:
            name = printable(str(path)) if isinstance(result, UnicodeError) else str(path)
            left_out[name] = reason_of(result, name)
    return pictures, left_out


def reason_of(error: OSError | ValueError, name: str) -> str:
    """Return one sentence that says why a picture was left out.

    Args:
        error: Exception that was raised.
        name: Name of the picture.

    Returns:
        Message of the exception. For an error of the operating system it is "<name>: <reason>".
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return str(error)


def _picture_or_error(path: Path, folder: Path, root: Path) -> FolderPicture | OSError | ValueError:
    try:
        return FolderPicture(person_of(path, folder), utf8_text(root / path.relative_to(folder)), content_digest(path))
    except (OSError, ValueError) as error:
        return error
