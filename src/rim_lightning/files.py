"""Whole files: written under another name and renamed, and recognized by their digest."""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal; raises FileNotFoundError, in one sentence."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: set paths.data_dir to where the data and weights are.")
    status = path.stat()
    return _digest_of(path, status.st_mtime_ns, status.st_size)


@cache
def _digest_of(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_whole(path: Path, content: Any) -> None:
    """Write JSON under another name, then rename it: no reader ever sees half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)


def write_once(path: Path, content: Any) -> None:
    """Write JSON whole, unless the file is there: of several that write at once, the first one stays."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    with suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
