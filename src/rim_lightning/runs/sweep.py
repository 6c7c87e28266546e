"""A sweep on disk: one file with its jobs, one directory a job, in which the job itself records what became of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.files import write_json
from rim_lightning.runs.state import RunState, read_state

JOURNAL = "sweep.json"


class Job(NamedTuple):
    """One run of a sweep. Attributes: index: from 0. overrides: of Hydra, all of them. folder: where it runs."""

    index: int
    overrides: tuple[str, ...]
    folder: Path

    @property
    def state(self) -> RunState:
        """What became of it."""
        return read_state(self.folder)

    @property
    def figures(self) -> dict[str, float]:
        """`metrics.json` of the job; empty while there is none."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text()) if path.is_file() else {}


class Sweep(NamedTuple):
    """A sweep.

    Attributes:
        folder: its directory. command: what every job starts, without its overrides.
        launcher: who runs them, a configuration that Hydra calls. jobs: in order.
    """

    folder: Path
    command: tuple[str, ...]
    launcher: dict[str, Any]
    jobs: tuple[Job, ...]

    def write(self) -> None:
        """Leave the journal in the directory of the sweep."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "command": self.command,
            "launcher": self.launcher,
            "jobs": [{"index": job.index, "overrides": job.overrides} for job in self.jobs],
        }
        write_json(self.folder / JOURNAL, content)

    def with_jobs(self, overrides: Sequence[Sequence[str]]) -> "Sweep":
        """The sweep with more jobs at its end: a search adds them as it goes."""
        first = len(self.jobs)
        added = [Job(first + n, tuple(each), self.folder / str(first + n)) for n, each in enumerate(overrides)]
        return self._replace(jobs=(*self.jobs, *added))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every job: W&B makes one group of them."""
        return {"WANDB_RUN_GROUP": f"{self.folder.parent.name}/{self.folder.name}"}

    def command_of(self, job: Job) -> list[str]:
        """The command line of a job; it goes on from the job's last checkpoint where there is one."""
        return [*self.command, *job.overrides, f"hydra.run.dir={job.folder}", "resume=true"]


def new_sweep(
    folder: Path, launcher: dict[str, Any], command: Sequence[str] | None = None, config_dir: str | None = None
) -> Sweep:
    """Return a sweep without jobs.

    Args:
        folder: Directory of the sweep.
        launcher: Configuration of the function that runs the jobs.
        command: What every job starts, without its overrides. None: `rim-train`.
        config_dir: Directory of further configuration files (`--config-dir`), for `rim-train` alone. None: none.

    Raises:
        ValueError: If the directory holds a sweep already.
    """
    if (folder / JOURNAL).is_file():
        raise ValueError(
            f"{folder} holds a sweep already: go on by `rim-sweep resume {folder}`, or set another hydra.sweep.dir."
        )
    if command is None:
        configs = () if config_dir is None else ("--config-dir", str(Path(config_dir).resolve()))
        command = (sys.executable, "-m", "rim_lightning.commands.train", *configs)
    return Sweep(folder, tuple(command), launcher, ())


def read_sweep(folder: Path) -> Sweep:
    """The sweep in a directory.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        content = json.loads((folder / JOURNAL).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} holds no sweep (no {JOURNAL}): give the directory of a `rim-train -m`."
        ) from None
    jobs = tuple(Job(job["index"], tuple(job["overrides"]), folder / str(job["index"])) for job in content["jobs"])
    return Sweep(folder, tuple(content["command"]), content["launcher"], jobs)
