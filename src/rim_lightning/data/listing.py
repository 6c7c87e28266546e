"""The one listing of the pictures of a folder, for every command: which files are pictures, and why others are not."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.images import ImageError, image_format, missing_libraries

SUFFIXES_OF = {"HEIF": (".heic", ".heif", ".hif"), "AVIF": (".avif",)}
"""Endings of pictures that need a library, by format."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"),
    *(".jp2", ".j2k", *SUFFIXES_OF["HEIF"], *SUFFIXES_OF["AVIF"]),
)
"""Endings of pictures, in lower case. `suffixes` returns those that can be opened here."""

SYSTEM_NAMES = {
    *("__macosx", "@eadir", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot", "$recycle.bin"),
    *("system volume information", "recycler", "lost+found", "found.000", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
"""Names, in lower case, of files and folders that systems make by themselves."""

RAW_SUFFIXES = {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".pef", ".srw"}
"""Endings of raw pictures of cameras. Many of them look like TIFF inside."""


class Listing(NamedTuple):
    """The files of a folder, each in one of three lists, sorted.

    Attributes:
        pictures: Files that a command reads.
        others: Other files, and links to folders that are listed already. `why_not` says why they are not read.
        hidden: Hidden and system files and folders. Such folders are not entered.
    """

    pictures: list[Path]
    others: list[Path]
    hidden: list[Path]


class Unused(NamedTuple):
    """Why a file of a folder is not read.

    Attributes:
        reason: The end of a sentence that begins with the name of the file, without a period.
        picture: True if the file is, or may be, a picture.
    """

    reason: str
    picture: bool


def list_folder(folder: str | os.PathLike, deep: bool = True) -> Listing:
    """List the files of a folder.

    Hidden and system files and folders (`is_hidden`) are neither pictures nor people. Links to folders are followed;
    a folder that can be reached in several ways is listed once, in its own place if it lies in the folder.

    Args:
        folder: Folder to list. Its own name does not matter.
        deep: True to list all folders in it too.

    Returns:
        Paths that begin with `folder`.

    Raises:
        NotADirectoryError: If there is no such folder.
        PermissionError: If a folder may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}.")
    listing = Listing([], [], [])
    endings = suffixes()
    visited: set[tuple[int, int]] = set()
    links = [folder]
    while links:
        following: list[Path] = []
        for link in sorted(links):
            if _identity(link) in visited:
                listing.others.append(link)
                continue
            for entry in _walk(link, deep, visited, following, listing.hidden):
                usable = os.path.splitext(entry.name)[1].lower() in endings and _may_be_read(entry)
                (listing.pictures if usable else listing.others).append(Path(entry.path))
        links = following
    for paths in listing:
        paths.sort()
    return listing


def list_pictures(folder: str | os.PathLike) -> Listing:
    """List the files of a folder that holds at least one picture, and of all folders in it; see `list_folder`.

    Args:
        folder: The folder.

    Returns:
        Its files.

    Raises:
        ImageError: If there are no image files.
        NotADirectoryError: If there is no such folder.
        PermissionError: If a folder may not be read.
    """
    listing = list_folder(folder)
    if not listing.pictures:
        raise ImageError(f"{folder} holds no image: {_what_it_holds(listing)}.")
    return listing


def image_files(folder: str | os.PathLike) -> list[Path]:
    """List the image files of a folder and of all folders in it, sorted by path; see `list_pictures`.

    Args:
        folder: Folder to search.

    Returns:
        Paths that begin with `folder` and end in one of `suffixes()`, at least one.
    """
    return list_pictures(folder).pictures


def folders_in(folder: Path) -> list[Path]:
    """List the folders directly in a folder, sorted by name. Each may be a person.

    Hidden and system folders are left out. So are links to a folder that is in the list already.

    Args:
        folder: Folder to list.

    Returns:
        Paths that begin with `folder`.
    """
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    visited = {_identity(path) for path in (folder, *folders) if path == folder or not path.is_symlink()}
    distinct_folders = []
    for path in folders:
        if path.is_symlink():
            if _identity(path) in visited:
                continue
            visited.add(_identity(path))
        distinct_folders.append(path)
    return distinct_folders


def is_hidden(name: str) -> bool:
    """Tell hidden and system files and folders by their name.

    Args:
        name: Name of a file or folder.

    Returns:
        True if it begins with a dot, or systems make it by themselves (`SYSTEM_NAMES`).
    """
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def suffixes() -> tuple[str, ...]:
    """Return the endings of the pictures that can be opened here, in lower case."""
    missing = {suffix for name in missing_libraries() for suffix in SUFFIXES_OF[name]}
    return tuple(suffix for suffix in SUFFIXES if suffix not in missing)


def why_not(path: Path) -> Unused:
    """Say why a file of `Listing.others` is not read.

    Args:
        path: The file.

    Returns:
        The reason, and whether the file may be a picture.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return Unused("is a link to a folder that is listed already", False)
    if not path.is_file():
        return Unused("is no regular file" if path.exists() else "is a link to a missing file", suffix in SUFFIXES)
    own_format = image_format(path)
    for name, install in missing_libraries().items():
        if own_format == name or suffix in SUFFIXES_OF[name]:
            return Unused(f"is a {name} picture, which needs a library: {install}", True)
    if suffix in RAW_SUFFIXES:
        return Unused(f"is a raw picture of a camera ({suffix}), which is not read: convert it to JPEG", True)
    if own_format:
        ending = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2", "HEIF": ".heic"}.get(own_format)
        ending = ending or f".{own_format.lower()}"
        return Unused(f"is a {own_format} picture, but its name does not say so: let it end in {ending}", True)
    return Unused(f"is no picture by its ending ({suffix or 'none'})", False)


def _walk(
    folder: Path, deep: bool, visited: set[tuple[int, int]], links: list[Path], hidden: list[Path]
) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder that are not hidden. Links to folders and hidden entries are added to the lists."""
    stack = [folder]
    while stack:
        place = stack.pop()
        visited.add(_identity(place))
        with os.scandir(place) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    hidden.append(Path(entry.path))
                elif not _leads_to_folder(entry):
                    yield entry
                elif deep and entry.is_symlink():
                    links.append(Path(entry.path))
                elif deep:
                    stack.append(Path(entry.path))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """Return False for pipes and devices, which would block. Whoever reads a link to a missing file, names it."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a link to itself
        return True


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _what_it_holds(listing: Listing) -> str:
    """Return why there is no picture among files: the reason of the first that may be one, or the endings."""
    for path in listing.others:
        unused = why_not(path)
        if unused.picture:
            return f"{path} {unused.reason}"
    return f"files must end in {', '.join(suffixes())}"
