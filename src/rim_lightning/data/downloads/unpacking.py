"""Archives of others: unpacked as plain files into one folder, or not at all."""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from rim_lightning.files import full_disk_named, put_folder_in_place
from rim_lightning.runs.progress import progress_bar

MOST_FILES = 1_000_000
"""Most files and folders of an archive. CelebAMask-HQ has about 400,000."""
CHUNK = 2**20
NO_CONTENT = ("__MACOSX",)
"""What a system adds to an archive."""
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, NotImplementedError),  # of zipfile, for a password and an unknown method
)
"""What the libraries raise for an archive that cannot be read."""


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
        name: Its path in the archive.
        is_folder: True for a folder.
        is_plain: True for a file or a folder; False for a link, a device or a pipe.
        open: Opens the content of a file.
    """

    name: str
    is_folder: bool
    is_plain: bool
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, place: Path, scratch: Path, most_bytes: int) -> None:
    """Unpack an archive, zip or tar. The folder appears in its place when it is whole.

    If everything in the archive is in one folder, that folder becomes the place; otherwise the folder around it does.

    Args:
        archive: The archive.
        place: The folder to make. It must not exist.
        scratch: Folder to work in, on the same disk. What is there is removed.
        most_bytes: Most bytes that all files together may have.

    Raises:
        ValueError: If the archive is damaged or empty, is larger, or has a file that would lie outside of the folder, a
            link, a device or a pipe.
        OSError: If the disk is full.
    """
    if scratch.is_dir():
        shutil.rmtree(scratch)  # of a command that was killed
    scratch.mkdir(parents=True)
    try:
        with full_disk_named(place):
            _write_members(archive, scratch, most_bytes)
        content = _content_of(scratch, archive)
        place.parent.mkdir(parents=True, exist_ok=True)
        put_folder_in_place(content, place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def inner_path(name: str, archive: Path) -> PurePosixPath:
    r"""Return the path of a member below the folder that it is unpacked to.

    Args:
        name: Path in the archive. Backslashes separate folders.
        archive: The archive, for the message.

    Raises:
        ValueError: If it would lie outside of the folder.

    Example:
        >>> inner_path(r"images\a.png", Path("set.zip"))
        PurePosixPath('images/a.png')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or PureWindowsPath(name).drive:
        raise ValueError(f"{archive} has the file {name}, which would lie outside of its folder; nothing was unpacked.")
    return path


def _write_members(archive: Path, folder: Path, most_bytes: int) -> None:
    left = most_bytes
    try:
        members = enumerate(_members(archive), start=1)
        for count, member in progress_bar(members, unit=" files", desc=f"unpacking {archive.name}"):
            target = folder / inner_path(member.name, archive)
            if not member.is_plain:
                raise ValueError(f"{archive} has a link, a device or a pipe ({member.name}); nothing was unpacked.")
            if count > MOST_FILES:
                raise ValueError(f"{archive} has more than {MOST_FILES:,} files; nothing was unpacked.")
            if member.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(member, target, left)
            if left < 0:
                raise ValueError(
                    f"{archive} holds more than the {most_bytes / 1e6:,.0f} MB that its set has; nothing was unpacked."
                )
    except DAMAGED as error:
        raise ValueError(
            f"{archive} cannot be unpacked ({error or type(error).__name__}): remove it and repeat the command."
        ) from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise ValueError(f"{archive} has {error.filename} as a file and as a folder; nothing was unpacked.") from error


def _copy(member: Member, target: Path, most: int) -> int:
    """Write the content of a file, and at most one chunk more than allowed. Returns the number of bytes."""
    count = 0
    source = member.open()
    if source is None:
        return 0
    with source, target.open("wb") as file:
        while count <= most and (chunk := source.read(CHUNK)):
            file.write(chunk)
            count += len(chunk)
    return count


def _members(archive: Path) -> Iterator[Member]:
    """Yield the members of a zip, or of a tar that may be compressed. Raises TarError if it is neither."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if another system than Unix made it
                is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                yield Member(info.filename, info.is_dir(), is_plain, partial(packed.open, info))
        return
    try:
        tape = tarfile.open(archive)  # noqa: SIM115, closed below
    except tarfile.ReadError:  # its message has a line for each method
        raise tarfile.ReadError("it is no whole zip or tar archive") from None
    with tape:
        for entry in tape:
            is_plain = entry.isfile() or entry.isdir()
            yield Member(entry.name, entry.isdir(), is_plain, partial(tape.extractfile, entry))


def _content_of(folder: Path, archive: Path) -> Path:
    """Return the only folder in a folder, or the folder itself if there is more in it."""
    entries = [entry for entry in folder.iterdir() if entry.name not in NO_CONTENT]
    if not entries:
        raise ValueError(f"{archive} holds no files: remove it and repeat the command.")
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
