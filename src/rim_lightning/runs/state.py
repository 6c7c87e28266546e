"""The state of a run: a file in its folder, and a lock that only a running process holds."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rim_lightning.files import real_path, write_json
from rim_lightning.locks import process_lock
from rim_lightning.runs.folder import RunFolder

_OWN_RUNS: set[tuple[int, Path]] = set()  # id of the process, folder


class RunState(NamedTuple):
    """How far a run is.

    Attributes:
        name: "waiting", "running", "finished", "interrupted", "killed" or "failed"; "unknown" if its file has no name.
        attempts: Number of times the run was started.
        message: Why the run failed or stopped; "" otherwise.
        seconds: Duration of the last attempt; None while it runs, and after it was killed.
    """

    name: str
    attempts: int = 0
    message: str = ""
    seconds: float | None = None


def read_state(folder: Path) -> RunState:
    """Read the state of the run in a folder.

    A run without a state file is "waiting". A run whose file says "running" but whose lock is free is reported as
    "killed".

    Raises:
        ValueError: If the file is damaged.
    """
    from rim_lightning.runs.records import StateRecord, read_record

    try:
        record = read_record(RunFolder(folder).state, StateRecord)
    except FileNotFoundError:
        return RunState("waiting")
    state = RunState(record.name, record.attempts, record.message, record.seconds)
    if state.name == "running" and not is_own_run(folder) and not is_locked(folder):
        return state._replace(name="killed")
    return state


def is_own_run(folder: Path) -> bool:
    """Return True if this process runs in a folder. Its id and host come again, as in a restarted container."""
    return (os.getpid(), real_path(folder)) in _OWN_RUNS


def is_locked(folder: Path) -> bool:
    """Return True if another live process holds the lock of the run in a folder."""
    from filelock import Timeout

    try:
        with process_lock(RunFolder(folder).lock).acquire(timeout=0):
            return False
    except FileNotFoundError:
        return False
    except (Timeout, PermissionError):
        return True


@contextmanager
def record_run(folder: Path, interruptions: tuple[type[BaseException], ...] = (KeyboardInterrupt,)) -> Iterator[None]:
    """Lock a run's folder, and write `state.json` when the run starts and ends.

    The operating system frees the lock when the process dies, whatever the cause.

    Args:
        folder: Folder of the run. It is made if it is missing.
        interruptions: Exceptions of a run that was asked to stop. Any other exception is a failure.

    Raises:
        ValueError: If another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder)
    with _taken_lock(files.lock, folder), _own_run(folder):
        attempts = read_attempts(folder) + 1
        started = time.monotonic()
        record = {"attempts": attempts, "started": _now(), "pid": os.getpid(), "host": socket.gethostname()}

        def end(name: str, message: str) -> None:
            seconds = round(time.monotonic() - started, 1)
            write_json(files.state, record | {"name": name, "message": message, "seconds": seconds, "ended": _now()})

        try:
            write_json(files.state, record | {"name": "running"})  # a signal may come before it returns
            yield
        except interruptions as stop:
            end("interrupted", str(stop))
            raise
        except BaseException as error:
            end("failed", _reason(error))
            raise
        end("finished", "")


@contextmanager
def _own_run(folder: Path) -> Iterator[None]:
    own = (os.getpid(), real_path(folder))  # a forked process runs none
    _OWN_RUNS.add(own)
    try:
        yield
    finally:
        _OWN_RUNS.discard(own)


def read_attempts(folder: Path) -> int:
    """Return how often the run in a folder was started."""
    from rim_lightning.runs.records import StateRecord, read_record

    path = RunFolder(folder).state
    return read_record(path, StateRecord).attempts if path.is_file() else 0


def _reason(error: BaseException) -> str:
    """Return class and message of an exception on one line; of what Hydra could not build, the reason for that."""
    while type(error).__name__ == "InstantiationException" and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Let no other process write its results into a folder while the block runs.

    Args:
        folder: The folder. It is made if it is missing.

    Raises:
        ValueError: If another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _taken_lock(RunFolder(folder).lock, folder):
        yield


def _taken_lock(path: Path, folder: Path) -> AbstractContextManager:
    from filelock import Timeout

    try:
        return process_lock(path).acquire(timeout=1)  # a process that only reads the state holds it for an instant
    except Timeout:
        raise ValueError(
            f"Another process runs in {folder}: wait for it or stop it, or choose another directory."
        ) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
