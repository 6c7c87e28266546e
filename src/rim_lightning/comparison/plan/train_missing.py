"""Train what is missing, several runs at a time, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from types import FrameType

from tqdm import tqdm

from rim_lightning.comparison.plan.plan import NotTrained, Plan, Run, quoted
from rim_lightning.files import write_json
from rim_lightning.runs.state import read_state

POLL = 2.0  # seconds


def train_missing(plan: Plan, names: Iterable[str], parallel: int) -> dict[str, str]:
    """Train every run that the systems need and that is not finished; an interrupted one goes on.

    A run that fails is not tried again within this call, and takes only the systems that need it with it.

    Args:
        names: systems, those they start from come by themselves. parallel: runs at a time.

    Returns:
        system -> why it could not be trained.
    """
    signal.signal(signal.SIGTERM, _stop)
    names = list(names)
    failed: dict[str, str] = {}
    running: dict[str, tuple[Run, subprocess.Popen]] = {}
    tried: set[str] = set()
    bar = tqdm(desc="training", unit="run", leave=False)
    try:
        while True:
            for key, (run, process) in list(running.items()):
                if process.poll() is not None:
                    del running[key]
                    bar.update()
                    if not run.finished():
                        tqdm.write(f"{run.title}: {failure(run)}")
            todo, failed = _todo(plan, names, tried)
            todo = [run for run in todo if run.key not in running]
            for run in todo[: parallel - len(running)]:
                tried.add(run.key)
                process = None
                try:
                    process = _start(run)
                finally:  # also where a signal comes in between
                    if process is not None:
                        running[run.key] = run, process
            bar.total = bar.n + len(running) + len(todo)
            bar.set_postfix_str(", ".join(run.title for run, _ in running.values()))
            if not running:
                return failed
            time.sleep(POLL)
    finally:
        bar.close()
        for _, process in running.values():
            process.terminate()  # it saves, and goes on when the table is asked for again
        for _, process in running.values():
            process.wait()


def _stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)  # through `finally`, which stops the runs


def failure(run: Run) -> str:
    """The sentence with which a run ended."""
    log = run.folder / "train.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    own = [line for line in lines if line.startswith("rim-train: ")]
    return read_state(run.folder).message or (own[-1] if own else f"it was killed; {log} has what it said")


def _todo(plan: Plan, names: list[str], tried: set[str]) -> tuple[list[Run], dict[str, str]]:
    """Runs that could start now, and the systems that cannot be trained any more."""
    todo: dict[str, Run] = {}
    failed: dict[str, str] = {}

    def want(name: str) -> None:
        system = plan.systems[name]
        for other in (system.after, system.teacher_of, system.rate_of):
            if other is not None:
                want(other)
                if other in failed:
                    failed[name] = f"{other} could not be trained"
                    return
        try:
            trials = [] if system.rate_of else list(plan.trials(name).values())
            chosen = any(run.finished() for run in trials)
            for run in trials:
                lost = chosen and read_state(run.folder).name == "failed"  # a rate that diverges does so again
                if not run.finished() and not lost and run.key not in tried:
                    todo[run.key] = run
            for run in plan.runs(name):
                if not run.finished():
                    if run.key in tried and read_state(run.folder).name != "running":
                        failed[name] = failure(run)
                    elif run.key not in tried:
                        todo[run.key] = run
        except NotTrained as missing:
            if missing.run.key in tried and read_state(missing.run.folder).name not in ("running", "waiting"):
                failed[name] = f"{missing.run.title}: {failure(missing.run)}"
        except ValueError as error:
            failed[name] = str(error)

    for name in names:
        want(name)
    return list(todo.values()), failed


def _start(run: Run) -> subprocess.Popen:
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(run.folder / "run.json", {"title": run.title, "overrides": run.overrides})
    command = [
        sys.executable,
        "-m",
        "rim_lightning.commands.train",
        *run.overrides,
        f"hydra.run.dir={quoted(run.folder)}",
        "resume=true",
    ]
    with open(run.folder / "train.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
