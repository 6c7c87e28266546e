"""Whole files and their digests: the only file that writes other files in one piece."""

import errno
import hashlib
import json
import math
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

MAX_NAME = 255
"""Longest name of a file in bytes on nearly all file systems."""

_ABSOLUTE = re.compile(
    r"""(?<![^\s=:,'"`\[({])(?:[A-Za-z]:)?[/\\](?![/\\])(?:[^/\\,'"`\])}]*[/\\])*([^\s/\\,'"`\])}]*)"""
)
"""An absolute path in a text: it stands at the beginning, or behind what separates values."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a full disk answers, a used-up quota, and a limit of the size of a file."""

MAX_TEXT = 2**30
"""Most bytes of a text that is read as a whole, such as a table of labels or a manifest."""

READERS = 8  # threads that read files for their digests
CHUNK = 32  # files that a thread reads in turn
Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, then move the file written there to `path`.

    A reader sees the earlier content or the new one, never a part of it. File and folder are synchronized with the
    disk, so that this also holds after a power cut. If the block raises, `path` stays as it was.

    Args:
        path: File to write. Its folder must exist.

    Yields:
        Path of the temporary file, in the same folder. The block must create it.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(f"{folder}/figures.txt") as part:
        ...         _ = part.write_text("1.5")
        ...     Path(f"{folder}/figures.txt").read_text()
        '1.5'
    """
    path = Path(path)
    part = _part(path)
    try:
        with full_disk_named(path):
            yield part
            put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Name the file that a full disk did not take: the system names none when it refuses to write.

    Args:
        path: The file that the block writes.

    Raises:
        OSError: If the disk is full, with the name of the file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def read_fault_named(path: str | Path) -> Iterator[None]:
    """Name the file that cannot be read: of one that is open the system names none when its disk fails.

    Args:
        path: The file that the block reads.

    Raises:
        OSError: If it cannot be read, with its name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def put_in_place(part: Path, path: Path) -> None:
    """Move a finished file or folder to its place.

    All of its content is on the disk before it appears there, so that after a power cut it is whole or not there.

    Args:
        part: The finished file or folder, on the same disk.
        path: Its place. A file there is replaced, a folder must not be there.

    Raises:
        OSError: If it cannot be moved.
    """
    synchronize(part)
    os.replace(part, path)
    synchronize(path.parent, inside=False)


def put_folder_in_place(part: Path, path: Path) -> None:
    """Move a finished folder of many small files to its place, see `put_in_place`.

    The whole system writes what it has to the disk, once: to wait for each of 13,000 pictures takes two minutes.

    Args:
        part: The finished folder, on the same disk.
        path: Its place. Nothing must be there.

    Raises:
        OSError: If it cannot be moved.
    """
    if not hasattr(os, "sync"):  # Windows
        put_in_place(part, path)
        return
    os.sync()
    os.replace(part, path)
    synchronize(path.parent, inside=False)


def synchronize(path: Path, inside: bool = True) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk. Links in the folder are not followed.

    The names in a folder that may not be read are not waited for. Windows lets nobody read them.

    Args:
        path: The file or folder.
        inside: False for the names in a folder alone.

    Raises:
        OSError: If it cannot be written to the disk.
    """
    is_folder = path.is_dir()
    for child in path.iterdir() if is_folder and inside else ():
        if not child.is_symlink():
            synchronize(child)
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        if is_folder:
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | Path, setting: str = "output") -> None:
    """Check before long work that a file or folder can be made at a path. Nothing is left behind.

    Args:
        path: File or folder that will be made. The folders above it need not exist.
        setting: Name of the setting that says where, for the message.

    Raises:
        ValueError: If it cannot be made: a folder above it is a file, or may not be written to; its name is too long.
    """
    path = Path(path)
    if not path.name or not str(path).strip():
        raise ValueError(f"'{path}' is no name of a file or folder: choose another {setting}.")
    with _named_place(path, setting):
        path.with_name(f".{path.name}.partial").exists()  # raises if the name is too long
        _try_to_write(path.absolute().parents)


def check_folder(folder: str | Path, setting: str) -> None:
    """Make a folder if it is missing, and check before long work that files can be written there.

    Args:
        folder: The folder.
        setting: Name of the setting that says where, for the message.

    Raises:
        ValueError: If it cannot be made, or nothing can be written there.
    """
    folder = Path(folder)
    with _named_place(folder, setting):
        _try_to_write([folder.absolute(), *folder.absolute().parents])
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _named_place(path: Path, setting: str) -> Iterator[None]:
    """Turn an error of the system into the sentence about a place that cannot be written to."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"Nothing can be written to {path} ({error.strerror}): choose another {setting}.") from error


def _try_to_write(folders: Sequence[Path]) -> None:
    """Raise OSError if nothing can be written to the first of some folders that exists."""
    folder = next(folder for folder in folders if folder.exists())
    if not folder.is_dir():
        raise OSError(errno.ENOTDIR, f"{folder} is a file")
    os.rmdir(tempfile.mkdtemp(prefix=".rim_", dir=folder))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece, see `whole_file`.

    Args:
        path: File to write. Its folder must exist.
        text: Content of the file.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file to read it, and nothing else: a pipe would block, a device never end.

    Args:
        path: The file, or a link to it.

    Returns:
        The file, open.

    Raises:
        FileNotFoundError: If there is no file.
        IsADirectoryError: If it is a folder.
        OSError: If it is a pipe, a socket or a device, or cannot be read.
    """
    _require_regular(os.stat(path), path)  # opening a device may set it in motion
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115, the caller closes it
    try:
        _require_regular(os.fstat(file.fileno()), path)  # it may have been replaced since
    except OSError:
        file.close()
        raise
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes


def _require_regular(status: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_bytes(path: str | Path, advice: str = "choose another file", largest: int = MAX_TEXT) -> bytes:
    """Read a whole regular file, once; see `open_regular`.

    Args:
        path: File to read.
        advice: What the user can do if it is too large, or no regular file.
        largest: Largest size in bytes.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: If there is no file.
        OSError: If it cannot be read.
        ValueError: If it is too large, or a device or a pipe, which could have no end.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{path} is a device or a pipe, where a file is needed: {advice}.") from None
    with file, read_fault_named(path):
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            most = f"{largest >> 20} MB" if largest >= 2**20 else f"{largest:,} bytes"
            raise ValueError(f"{path} has more than {most}, which is no such file: {advice}.")
        return file.read()


def read_utf8(path: str | Path) -> str:
    """Read a text file in UTF-8 of at most `MAX_TEXT` bytes; see `read_bytes`.

    Args:
        path: File to read.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is longer, or no such text.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8.") from None


def finite(content: Any) -> Any:
    """Return plain containers with None in place of numbers that are not finite. JSON has no word for those.

    Example:
        >>> finite({"loss": [1.5, float("nan")]})
        {'loss': [1.5, None]}
    """
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_json(path: str | Path, content: Any, indent: int = 2, sort_keys: bool = False) -> None:
    """Write a JSON file in one piece, see `whole_file`.

    Args:
        path: File to write. Its folder must exist.
        content: Anything that `json.dumps` takes. Numbers that are not finite become null, see `finite`.
        indent: Number of spaces before an entry.
        sort_keys: True to sort entries by their names.
    """
    write_text(path, _as_json(content, indent, sort_keys))


def write_json_once(path: str | Path, content: Any) -> None:
    """Write a JSON file in one piece unless it exists.

    If several processes write at once, the content of the first one stays.

    Args:
        path: File to write. Its folder must exist.
        content: As of `write_json`.
    """
    path = Path(path)
    part = _part(path)
    try:
        with full_disk_named(path):
            part.write_text(_as_json(content), encoding="utf-8")
            synchronize(part)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # a disk without links, such as exFAT
            if not path.exists():
                os.replace(part, path)
        synchronize(path.parent, inside=False)
    finally:
        part.unlink(missing_ok=True)


def real_path(path: str | Path) -> Path:
    """Follow all links of a path. A link in a circle stays as it is; `Path.resolve` would raise RuntimeError.

    Args:
        path: The path. Nothing needs to be there.

    Returns:
        The absolute path.
    """
    return Path(os.path.realpath(path))


def file_digest(path: str | Path) -> str:
    """Compute the SHA-256 of a file. A file that did not change is read once per process.

    Args:
        path: File to read.

    Returns:
        64 hexadecimal digits.

    Raises:
        FileNotFoundError: If the file is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    status = path.stat()
    return _digest_of(path, status.st_mtime_ns, status.st_size)


def content_digest(path: str | Path) -> str:
    """Compute the SHA-256 of a file, which is read each time: copying tools can keep size and date of other content.

    Args:
        path: File to read.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with open_regular(path) as file, read_fault_named(path):
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_files(files: Sequence[tuple[str, str]]) -> list[str]:
    """Return the files that have another content now. A file that is gone counts as unchanged.

    Args:
        files: Path and SHA-256 of each file.

    Returns:
        Their paths.
    """
    return [
        path
        for (path, old), new in zip(files, in_threads(_digest_or_none, files), strict=True)
        if new not in (old, None)
    ]


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results of a function that reads a file for each item, in their order. Several files are read at once.

    Args:
        function: Called for each item, in threads.
        items: The items.

    Yields:
        The results.
    """
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with ThreadPoolExecutor(READERS) as pool:
        for results in pool.map(lambda chunk: [function(item) for item in chunk], chunks):
            yield from results


def _digest_or_none(file: tuple[str, str]) -> str | None:
    try:
        return content_digest(file[0])
    except OSError:
        return None


@lru_cache(maxsize=1024)
def _digest_of(path: Path, changed: int, size: int) -> str:
    return content_digest(path)


def shortened(name: str, longest: int) -> str:
    """Return the beginning of a name of the file system that has at most `longest` bytes.

    Example:
        >>> shortened("portrait", 4)
        'port'
    """
    return os.fsencode(name)[:longest].decode(errors="ignore") if len(os.fsencode(name)) > longest else name


def printable(text: str) -> str:
    r"""Return text as a terminal can show it on one line, whatever names of files it contains.

    Line breaks and control characters, with which a name could imitate other output, become escapes such as \n and
    \x1b. So do bytes of a name that are no UTF-8.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()
        for char in without_surrogates(text)
    )


def without_folders(content: Any) -> Any:
    """Return plain containers, or a text, in which every absolute path is a "…" and its last name.

    What is given to others must not tell where files lie on the machine that made it.

    Example:
        >>> without_folders({"root": "/home/ana/faces", "size": [8, "data/faces"]})
        {'root': '…/faces', 'size': [8, 'data/faces']}
        >>> without_folders("rim-train 'data.stores={a: /home/ana/a}' logger.csv.save_dir=/home/ana/runs/1")
        "rim-train 'data.stores={a: …/a}' logger.csv.save_dir=…/1"
    """
    if isinstance(content, dict):
        return {key: without_folders(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_folders(value) for value in content]
    return _ABSOLUTE.sub(r"…/\1", content) if isinstance(content, str) else content


def without_surrogates(text: str) -> str:
    r"""Return text that can be written as UTF-8: bytes of a name of the file system that are none become \xe9.

    Example:
        >>> without_surrogates(os.fsdecode(b"caf\xe9.png"))
        'caf\\xe9.png'
    """
    if not _has_surrogates(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # no name of a file: half of a letter, as JSON can hold
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _part(path: Path) -> Path:
    """Return the temporary file beside a file that is written. Its name is never too long."""
    ending = f".{os.getpid()}.part"
    return path.with_name(f".{shortened(path.name, MAX_NAME - 1 - len(ending))}{ending}")


def _as_json(content: Any, indent: int = 2, sort_keys: bool = False) -> str:
    return json.dumps(finite(content), indent=indent, sort_keys=sort_keys, allow_nan=False) + "\n"
