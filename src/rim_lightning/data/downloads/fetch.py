"""The files of a data set: received, compared with their digests, and put below the folder of the data."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import NamedTuple

from rim_lightning.data.downloads.drive_file import is_drive, receive_drive
from rim_lightning.data.downloads.http_file import check_room, mark_file, receive_http
from rim_lightning.data.downloads.unpacking import unpack
from rim_lightning.extras import require_extra
from rim_lightning.files import open_regular, put_in_place
from rim_lightning.locks import process_lock, wait_and_hold
from rim_lightning.runs.progress import say

DOWNLOADS = "downloads"
"""Folder of the data folder in which files lie until they are whole, checked and unpacked."""
MEGABYTE = 10**6
WEB_PAGES = (b"<!doctype html", b"<html")
"""How a web page begins, in small letters."""


class RemoteFile(NamedTuple):
    """A file of a data set.

    Attributes:
        setting: Name of its settings, for messages: "download.files.<name>".
        name: Name under which it is published. A file of that name in `DOWNLOADS` is used instead of a download.
        url: Its address: http, https, or one of Google Drive.
        place: Where it goes, below the folder of the data. An archive becomes a folder there.
        megabytes: Its size in MB of 10^6 bytes, as it is published. None if it is not.
        unpacked_megabytes: Most MB that its content may have. None for a file that is no archive.
        sha256: Its published SHA-256, hexadecimal. None if there is none.
        md5: Its published MD5, hexadecimal. None if there is none.
    """

    setting: str
    name: str
    url: str
    place: str
    megabytes: float | None
    unpacked_megabytes: float | None
    sha256: str | None
    md5: str | None


def missing_files(files: Sequence[RemoteFile], data_dir: Path) -> list[RemoteFile]:
    """List the files of a data set that are not in their places.

    Args:
        files: All files of the set.
        data_dir: Folder of the data.

    Raises:
        ValueError: If a place or a name leads out of that folder.
    """
    for file in files:
        for key, path in (("place", file.place), ("name", file.name)):
            outside = PurePath(path).is_absolute() or PureWindowsPath(path).drive or ".." in PurePath(path).parts
            if outside or (key == "name" and PurePath(path).name != path):
                raise ValueError(f"{file.setting}.{key} is {path}; it must be a {key} below paths.data_dir.")
    return [file for file in files if not (data_dir / file.place).exists()]


def check_before(files: Sequence[RemoteFile], data_dir: Path, title: str) -> None:
    """Check before a download that nothing is lacking for it: the disk has room, and packages are installed.

    Args:
        files: The files to receive.
        data_dir: Folder of the data.
        title: Name of the data set, for the message.

    Raises:
        ValueError: If the disk has no room.
        MissingExtra: If a package is missing.
    """
    folder = data_dir / DOWNLOADS
    waiting = [file for file in files if not (folder / file.name).is_file()]
    if any(is_drive(file.url) for file in waiting):
        require_extra("download", "Google Drive")
    received = sum(part.stat().st_size for file in waiting for part in folder.glob(f".{file.name}.part"))
    size = sum(file.megabytes or 0 for file in waiting) + sum(file.unpacked_megabytes or 0 for file in files)
    check_room(data_dir, int(size * MEGABYTE) - received, title)


def fetch(files: Sequence[RemoteFile], data_dir: Path) -> None:
    """Receive the files of a data set that are missing, and put them in their places.

    After an interruption, a second call continues. A file is in its place only if it is whole and has its digest.

    Args:
        files: All files of the set.
        data_dir: Folder of the data.

    Raises:
        ValueError: If an address is wrong, or what was received is not the file; it is then set aside.
        OSError: If the network or the disk fails.
        MissingExtra: If a package is missing.
    """
    folder = data_dir / DOWNLOADS
    folder.mkdir(parents=True, exist_ok=True)
    lock = process_lock(folder / ".lock")
    with wait_and_hold(lock, f"Another command fetches files to {folder}: waiting for it."):
        missing = missing_files(files, data_dir)
        for number, file in enumerate(missing, start=1):
            say(f"file {number} of {len(missing)}: {file.name}")
            received = _receive(file, folder)
            place = data_dir / file.place
            if file.unpacked_megabytes is None:
                place.parent.mkdir(parents=True, exist_ok=True)
                put_in_place(received, place)
                continue
            most = int(file.unpacked_megabytes * MEGABYTE)
            unpack(received, place, folder / f".{file.name}.unpacked", most)
            received.unlink()


def _receive(file: RemoteFile, folder: Path) -> Path:
    """Return a file with its digest, in the folder of downloads. It is received if it is not there."""
    whole = folder / file.name
    advice = f"give another address by {file.setting}.url=<address>, or save the file as {whole}"
    if whole.is_file():
        check_file(file, whole)
        return whole
    part = folder / f".{file.name}.part"
    if is_drive(file.url):
        part = folder / f".{file.name}.received"
        receive_drive(file.url, part, advice)
    else:
        receive_http(file.url, part, bool(file.sha256 or file.md5), advice)
    check_file(file, part)
    put_in_place(part, whole)
    mark_file(part).unlink(missing_ok=True)
    return whole


def check_file(file: RemoteFile, received: Path) -> None:
    """Compare a file with its published digests, or print its SHA-256 if none is published.

    Args:
        file: What it should be.
        received: The file. If it is another one, it is renamed.

    Raises:
        ValueError: If it is another file, or a web page. The message says where it is now.
    """
    with open_regular(received) as content:
        start = content.read(512).lstrip().lower()
        content.seek(0)
        found = {"SHA-256": hashlib.file_digest(content, "sha256").hexdigest()}
        content.seek(0)
        found["MD5"] = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    published = {"SHA-256": file.sha256, "MD5": file.md5}
    wrong = [name for name, digest in published.items() if digest and digest.lower() != found[name]]
    if start.startswith(WEB_PAGES):
        reason = "is a web page"
    elif wrong:
        reason = f"has the {wrong[0]} {found[wrong[0]]} instead of {published[wrong[0]]}"
    else:
        if not any(published.values()):
            say(f"  no digest of {file.name} is published, compare it with others: SHA-256 {found['SHA-256']}")
        return
    aside = _free_name(received.with_name(f"{file.name}.wrong"))
    received.rename(aside)
    mark_file(received).unlink(missing_ok=True)
    raise ValueError(
        f"{file.name} of {file.url} {reason}; it is not used and lies in {aside}: repeat the command, or give another "
        f"address by {file.setting}.url=<address>."
    )


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free
