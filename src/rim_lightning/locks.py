"""Locks between processes, on every system. The system frees a lock when its process ends, whatever the cause."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.files import printable

if TYPE_CHECKING:
    from filelock import BaseFileLock


def process_lock(path: Path) -> "BaseFileLock":
    """Return the lock of a file, to be taken by `acquire` and given back by `release`.

    Processes forked by its holder do not hold it. The file stays after the release.

    Args:
        path: File of the lock. It is made if it is missing; its folder must exist.

    Returns:
        The lock. `acquire(timeout=seconds)` raises `filelock.Timeout` if another one holds it.
    """
    from filelock import FileLock, SoftFileLock  # not at the top of the file: `--help` should not wait for it

    if FileLock is SoftFileLock:  # neither fcntl nor Windows: there the existence of a file is the lock
        path = path.with_name(f"{path.name}.held")
    return FileLock(path)


@contextmanager
def wait_and_hold(lock: "BaseFileLock", waiting: str) -> Iterator[None]:
    """Hold a lock while the block runs. If another process holds it, say so and wait.

    Args:
        lock: The lock. Its holder may take it again.
        waiting: Sentence for the error output.
    """
    from filelock import Timeout  # not at the top of the file: `--help` should not wait for it

    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(printable(waiting), file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
