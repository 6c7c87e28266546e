"""Locks between processes, on every system. The system frees a lock when its process ends, whatever the cause."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.files import printable

if TYPE_CHECKING:
    from filelock import BaseFileLock

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system without locks answers."""


def process_lock(path: Path) -> "BaseFileLock":
    """Return the lock of a file, to be taken by `acquire` and given back by `release`.

    Processes forked by its holder do not hold it. The file stays after the release.

    Args:
        path: File of the lock. It is made if it is missing; its folder must exist.

    Returns:
        The lock. `acquire(timeout=seconds)` raises `filelock.Timeout` if another one holds it, and ValueError if the
        disk has no locks.
    """
    from filelock import FileLock, SoftFileLock  # not at the top of the file: `--help` should not wait for it

    if FileLock is SoftFileLock:
        # Neither fcntl nor Windows: a file is the lock. It has host, process id and start of its holder, so that no
        # later process of that id, as in a restarted container, looks like it.
        return FileLock(path.with_name(f"{path.name}.held"))

    class NamedLock(FileLock):
        def acquire(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().acquire(*arguments, **options)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise ValueError(
                    f"The disk of {path} has no locks ({error.strerror}), and two processes could write there at once: "
                    "choose a folder on another disk, or mount this one with locks."
                ) from error

    return NamedLock(path, fallback_to_soft=False)  # what it would fall back to outlives a killed process


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
