"""The folder in which a page stores uploads and results: private, and gone at the end of the page."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rim_lightning.files import printable, real_path
from rim_lightning.locks import process_lock

PREFIX = "rim_page_"
LOCK_NAME = "page.lock"
MARK_NAME = (
    "page.held"  # stands beside the lock as soon as it is held: only then a free lock tells that the page has ended
)
ATTEMPTS = 10  # at removing a folder into which a question still writes


def unused_folder() -> Path:
    """Return the path of a folder that is not there, with a random name, in the folder for temporary files.

    Raises:
        OSError: If the user has chosen a folder for temporary files in which nothing can be written. Python takes
            another one then without a word.
    """
    name = next((name for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), None)
    if name is not None and os.path.abspath(tempfile.gettempdir()) != os.path.abspath(os.environ[name]):
        raise OSError(
            f"{name} is {printable(os.environ[name])}, where no file can be written: make room there, or set {name} to "
            "another folder."
        )
    return real_path(tempfile.gettempdir()) / f"{PREFIX}{secrets.token_hex(8)}"


@contextmanager
def private_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that only this user can open, and remove it afterwards.

    Folders of pages that were killed are removed first. A page holds a lock in its folder, which the system frees when
    the page ends.

    Args:
        folder: Its path, from `unused_folder`.

    Yields:
        The path.

    Raises:
        OSError: If the folder cannot be created.
    """
    folder.mkdir(mode=0o700)
    lock = process_lock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
        (folder / MARK_NAME).touch()
        _remove_leftovers(folder)
        yield folder
    finally:
        lock.release()
        _remove(folder)


def _remove_leftovers(own: Path) -> None:
    """Remove the folders of this user whose page has ended without doing so."""
    for folder in own.parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # those of others cannot be opened, and to wait for the lock of a living page times out
            if folder == own or folder.lstat().st_uid != own.lstat().st_uid or not (folder / MARK_NAME).is_file():
                continue
            lock = process_lock(folder / LOCK_NAME)
            with lock.acquire(timeout=0):
                pass
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder. A question that is being answered may write into it meanwhile."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
