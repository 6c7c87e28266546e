"""What became of a run: a file in its directory, and a lock that only a live process holds."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.files import write_json

STATE, LOCK = "state.json", "lock"


STATES = ("waiting", "running", "finished", "interrupted", "killed", "failed")


class RunState(NamedTuple):
    """Attributes: name: one of `STATES`. attempts: how often the run was started. message: why it failed or stopped.
    seconds: of the last attempt, while known.
    """

    name: str
    attempts: int = 0
    message: str = ""
    seconds: float | None = None


def read_state(folder: Path) -> RunState:
    """The state of the run in a directory; "killed" is one that says it runs while no process holds its lock."""
    try:
        content = json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return RunState("waiting")
    state = RunState(content["name"], content["attempts"], content.get("message", ""), content.get("seconds"))
    mine = content.get("pid") == os.getpid() and content.get("host") == socket.gethostname()
    if state.name == "running" and not mine and not is_held(folder):
        return state._replace(name="killed")
    return state


def is_held(folder: Path) -> bool:
    """Whether another live process runs there."""
    try:
        with open(folder / LOCK, "a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


@contextmanager
def recorded(folder: Path, interruptions: tuple[type[BaseException], ...] = (KeyboardInterrupt,)) -> Iterator[None]:
    """Hold the lock of the run and record how it ends. The lock goes with the process, however that dies.

    Args:
        folder: directory of the run, made where it is missing.
        interruptions: exceptions of a run that was asked to stop; any other is a failure.

    Raises:
        ValueError: another process runs there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a") as lock:
        _take(lock, folder)
        attempts = read_attempts(folder) + 1
        started = time.monotonic()
        record = {"attempts": attempts, "started": _now(), "pid": os.getpid(), "host": socket.gethostname()}
        write_json(folder / STATE, record | {"name": "running"})

        def end(name: str, message: str) -> None:
            seconds = round(time.monotonic() - started, 1)
            write_json(folder / STATE, record | {"name": name, "message": message, "seconds": seconds, "ended": _now()})

        try:
            yield
        except interruptions as stop:
            end("interrupted", str(stop))
            raise
        except BaseException as error:
            end("failed", f"{type(error).__name__}: {error}")
            raise
        end("finished", "")


def read_attempts(folder: Path) -> int:
    """How often the run in a directory was started."""
    path = folder / STATE
    return json.loads(path.read_text())["attempts"] if path.is_file() else 0


def _take(lock: Any, folder: Path) -> None:
    for attempt in range(20):  # someone who only looks holds it for an instant
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            if attempt < 19:
                time.sleep(0.05)
    raise ValueError(f"Another process runs in {folder}: wait for it or stop it, or choose another directory.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
