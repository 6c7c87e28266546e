"""Whole files and their digests: the only file that writes other files in one piece."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        _synchronize(part)
        os.replace(part, path)
        _synchronize(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one piece, see `whole_file`.

    Args:
        path: File to write. Its folder must exist.
        text: Content of the file.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: str | Path, kind: type[T]) -> T:
    """Read a JSON file.

    Args:
        path: File to read.
        kind: Type of its content: `dict` or `list`.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If the file is damaged, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged, it is no JSON file ({error}): remove it, or make it again.") from None
    if not isinstance(content, kind):
        wanted = "names and values" if kind is dict else "list"
        raise ValueError(f"{path} holds no {wanted}: remove it, or make it again.")
    return content


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


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file in one piece, see `whole_file`.

    Args:
        path: File to write. Its folder must exist.
        content: Anything that `json.dumps` takes. Numbers that are not finite become null, see `finite`.
    """
    write_text(path, _as_json(content))


def write_json_once(path: str | Path, content: Any) -> None:
    """Write a JSON file in one piece unless it exists.

    If several processes write at once, the content of the first one stays.

    Args:
        path: File to write. Its folder must exist.
        content: As of `write_json`.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(_as_json(content), encoding="utf-8")
        _synchronize(part)
        with suppress(FileExistsError):
            os.link(part, path)
        _synchronize(path.parent)
    finally:
        part.unlink(missing_ok=True)


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
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1024)
def _digest_of(path: Path, changed: int, size: int) -> str:
    return content_digest(path)


def _as_json(content: Any) -> str:
    return json.dumps(finite(content), indent=2, allow_nan=False) + "\n"


def _synchronize(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk. A system that cannot do so is skipped."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
