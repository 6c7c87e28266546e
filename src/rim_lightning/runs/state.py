"""The state of a run: a file in its folder, and a lock that only a running process holds."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder


class RunState(NamedTuple):
    """How far a run is.

    Attributes:
        name: "waiting", "running", "finished", "interrupted", "killed" or "failed".
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
    """
    try:
        content = json.loads(RunFolder(folder).state.read_text())
    except FileNotFoundError:
        return RunState("waiting")
    state = RunState(content["name"], content["attempts"], content.get("message", ""), content.get("seconds"))
    ours = content.get("pid") == os.getpid() and content.get("host") == socket.gethostname()
    if state.name == "running" and not ours and not is_locked(folder):
        return state._replace(name="killed")
    return state


def is_locked(folder: Path) -> bool:
    """Return True if another live process holds the lock of the run in a folder."""
    try:
        with open(RunFolder(folder).lock, "a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


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
    with open(files.lock, "a") as lock:
        _take(lock, folder)
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
            end("failed", f"{type(error).__name__}: {error}")
            raise
        end("finished", "")


def read_attempts(folder: Path) -> int:
    """Return how often the run in a folder was started."""
    path = RunFolder(folder).state
    return json.loads(path.read_text())["attempts"] if path.is_file() else 0


def _take(lock: IO[str], folder: Path) -> None:
    for attempt in range(20):  # a process that only reads the state holds the lock for an instant
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            if attempt < 19:
                time.sleep(0.05)
    raise ValueError(f"Another process runs in {folder}: wait for it or stop it, or choose another directory.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
