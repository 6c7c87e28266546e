"""Train the missing runs, several at a time, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from tqdm import tqdm

from rim_lightning.comparison.plan.plan import NotTrained, Plan, Run
from rim_lightning.files import write_json
from rim_lightning.runs.overrides import override
from rim_lightning.runs.progress import progress_bar, say
from rim_lightning.runs.state import read_state

POLL = 2.0
"""Seconds between two looks at the processes."""

Running = dict[str, tuple[Run, subprocess.Popen]]
"""Key of a run -> the run and its process."""


def train_missing(plan: Plan, names: Sequence[str], parallel: int) -> dict[str, str]:
    """Train every run that the systems need and that is not finished. Interrupted runs resume.

    A run that fails is not repeated within this call. Only the systems that need it cannot be trained then.

    Args:
        plan: The training runs of all systems.
        names: Names of the systems. Those that they start from are trained too.
        parallel: Number of runs at a time.

    Returns:
        System -> sentence with the reason why it could not be trained.
    """
    signal.signal(signal.SIGTERM, _stop)
    running: Running = {}
    started: set[str] = set()
    bar = progress_bar(desc="training", unit="run", leave=False)
    try:
        while True:
            _collect(running, bar)
            needs = _needs(plan, names, started)
            startable = [run for run in needs.startable.values() if run.key not in running]
            for run in startable[: parallel - len(running)]:
                started.add(run.key)
                process = None
                try:
                    process = _start(run)
                finally:  # also if a signal comes in between
                    if process is not None:
                        running[run.key] = run, process
            bar.total = bar.n + len(running) + len(startable)
            bar.set_postfix_str(", ".join(run.title for run, _ in running.values()))
            if not running:
                return needs.failed
            time.sleep(POLL)
    finally:
        bar.close()
        for _, process in running.values():
            process.terminate()  # it saves, and resumes at the next call
        for _, process in running.values():
            process.wait()


def failure(run: Run) -> str:
    """Return the sentence with which a run ended."""
    log = run.folder.log
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    messages = [line for line in lines if line.startswith("rim-train: ")]
    return read_state(run.folder.path).message or (messages[-1] if messages else f"it was killed; see {log}")


@dataclass
class _Needs:
    """What some systems need.

    Attributes:
        startable: Key -> run that could start now.
        failed: System -> reason why it cannot be trained.
    """

    startable: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def _needs(plan: Plan, names: Sequence[str], started: set[str]) -> _Needs:
    """Return what the systems need; `started` are keys of runs that this call has started."""
    needs = _Needs()
    for name in names:
        _add_needs(needs, plan, name, started)
    return needs


def _add_needs(needs: _Needs, plan: Plan, name: str, started: set[str]) -> None:
    system = plan.systems[name]
    for other in (system.after, system.teacher_of, system.rate_of):
        if other is not None:
            _add_needs(needs, plan, other, started)
            if other in needs.failed:
                needs.failed[name] = f"{other} could not be trained"
                return
    try:
        if not system.rate_of:
            needs.startable |= {run.key: run for run in _open_trials(plan, name) if run.key not in started}
        for run in plan.runs(name):
            if run.finished():
                continue
            if run.key not in started:
                needs.startable[run.key] = run
            elif read_state(run.folder.path).name != "running":
                needs.failed[name] = failure(run)
    except NotTrained as missing:
        run = missing.run
        if run.key in started and read_state(run.folder.path).name not in ("running", "waiting"):
            needs.failed[name] = f"{run.title}: {failure(run)}"
    except ValueError as error:
        needs.failed[name] = str(error)


def _open_trials(plan: Plan, name: str) -> list[Run]:
    """List the trials of a system that are not finished, without those that diverge and would do so again."""
    trials = list(plan.trials(name).values())
    any_finished = any(run.finished() for run in trials)
    return [
        run
        for run in trials
        if not run.finished() and not (any_finished and read_state(run.folder.path).name == "failed")
    ]


def _collect(running: Running, bar: tqdm) -> None:
    """Remove the processes that have ended. Print the reason for each failed run."""
    for key, (run, process) in list(running.items()):
        if process.poll() is not None:
            del running[key]
            bar.update()
            if not run.finished():
                say(f"{run.title}: {failure(run)}")


def _start(run: Run) -> subprocess.Popen:
    folder = run.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    write_json(folder.request, {"title": run.title, "overrides": run.overrides})
    command = [
        sys.executable,
        "-m",
        "rim_lightning.commands.train",
        *run.overrides,
        override("hydra.run.dir", folder.path),
        "resume=true",
    ]
    with open(folder.log, "a", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})


def _stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)  # through `finally`, which stops the runs
