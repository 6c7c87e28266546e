"""A sweep on disk: one file with its jobs, and one folder per job, in which the job itself records its state."""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.files import real_path, write_json
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.incomplete import Incomplete
from rim_lightning.runs.overrides import override, quoted, unquoted
from rim_lightning.runs.state import RunState, read_state

JOURNAL = "sweep.json"
FORMAT = 2
"""Number in `sweep.json` of the format that this version writes. Version 0.1 wrote none, which is read as 1."""


JOB_VARIABLE = "RIM_SWEEP_JOB"
TRAINING = ("-m", "rim_lightning.commands.train")  # what Python runs for a job
LAUNCHERS = ("rim_lightning.runs.local.run_locally", "rim_lightning.runs.slurm.submit")
"""Environment variable of a job: its number in the sweep, and the settings that tell it from the other jobs."""


class Job(NamedTuple):
    """One run of a sweep.

    Attributes:
        number: Number of the job, from 0.
        overrides: All overrides of Hydra.
        folder: Folder of the run.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path

    @property
    def state(self) -> RunState:
        """State of the run."""
        return read_state(self.folder)

    @property
    def figures(self) -> dict[str, float]:
        """Content of `metrics.json`; empty while there is none."""
        from rim_lightning.runs.records import read_figures

        path = RunFolder(self.folder).metrics
        return read_figures(path) if path.is_file() else {}

    @property
    def log(self) -> Path:
        """File with what the job printed, in all its attempts."""
        return self.folder / "log.txt"


class Sweep(NamedTuple):
    """A sweep.

    Attributes:
        folder: Folder of the sweep.
        command: What every job starts, without its overrides.
        launcher: The function that runs the jobs and its arguments, a configuration that Hydra calls.
        jobs: Jobs in the order of their numbers.
        format: Number of the format in which the sweep was written, see `FORMAT`.
    """

    folder: Path
    command: tuple[str, ...]
    launcher: dict[str, Any]
    jobs: tuple[Job, ...]
    format: int = FORMAT

    def write(self) -> None:
        """Write `sweep.json` into the folder of the sweep."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": self.format,
            "command": self.command,
            "launcher": self.launcher,
            "jobs": [{"index": job.number, "overrides": job.overrides} for job in self.jobs],
        }
        write_json(self.folder / JOURNAL, content)

    def with_jobs(self, overrides: Sequence[Sequence[str]]) -> "Sweep":
        """Return the sweep with more jobs at its end, one per list of overrides. A search adds its jobs in batches."""
        first = len(self.jobs)
        added = [
            Job(number, tuple(settings), self.folder / str(number)) for number, settings in enumerate(overrides, first)
        ]
        return self._replace(jobs=(*self.jobs, *added))

    def check_runnable(self) -> None:
        """Refuse to run jobs whose settings this version would not understand, or that are no runs of rim-train.

        Raises:
            ValueError: If version 0.1 wrote the sweep, or its file names another command.
        """
        if self.format < FORMAT:
            raise ValueError(
                f"The sweep in {self.folder} was made by version 0.1, whose settings had other names: `rim-sweep "
                "status` and `rim-sweep table` read it, but its jobs can only be run by that version. Start a new "
                "sweep with rim-train -m and another hydra.sweep.dir."
            )
        what, configs = tuple(self.command[1:3]), self.command[3:]
        if what != TRAINING or (configs and (len(configs) != 2 or configs[0] != "--config-dir")):
            raise ValueError(
                f"{self.folder / JOURNAL} starts `{shlex.join(self.command)}`, which is not rim-train: it was changed "
                "by hand, and its jobs are not run. Start a new sweep with rim-train -m."
            )

    def check_launcher(self) -> None:
        """Refuse to call what the file of the sweep names as its launcher, if this package has no such launcher.

        Raises:
            ValueError: If it has none.
        """
        if self.launcher.get("_target_") not in LAUNCHERS:
            raise ValueError(
                f"{self.folder / JOURNAL} has the launcher {self.launcher.get('_target_')}; this version has "
                f"{' and '.join(LAUNCHERS)}. Its jobs are not run: start a new sweep with rim-train -m."
            )

    @property
    def is_queued(self) -> bool:
        """True if the launcher only queues jobs, so that it returns before they end."""
        return self.launcher.get("wait") is False

    def check_finished(self) -> None:
        """Refuse a sweep with jobs that failed or were stopped. Jobs that still wait or run are no failure.

        Raises:
            Incomplete: If there is such a job. The message says how many they are, why, and where their logs are.
        """
        states = [job.state for job in self.jobs]
        broken = [
            (job, state)
            for job, state in zip(self.jobs, states, strict=True)
            if state.name in ("failed", "killed", "interrupted")
        ]
        if not broken:
            return
        job, state = broken[0]
        counts = Counter(state.name for _, state in broken)
        what = " and ".join(f"{count} {name}" for name, count in counts.items())
        why = f"{state.name}: {state.message}" if state.message else state.name
        raise Incomplete(
            f"{len(broken)} of {len(self.jobs)} jobs did not finish ({what}). Job {job.number} {why.rstrip('.')}; its "
            f"log is {job.log}, the others are beside it. To run them again: "
            f"rim-sweep retry {shlex.quote(str(self.folder))}",
            nothing=not any(state.name in ("finished", "running", "waiting") for state in states),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of every job: W&B shows the jobs as one group."""
        return {"WANDB_RUN_GROUP": f"{self.folder.parent.name}/{self.folder.name}"}

    def environment_of(self, job: Job) -> dict[str, str]:
        """Return the environment variables of one job. `JOB_VARIABLE` tells a tracker its number and its settings."""
        position = self.jobs.index(job)
        settings = {key: values[position] for key, values in swept_settings(self.jobs).items()}
        return self.environment | {JOB_VARIABLE: json.dumps({"number": job.number, "settings": settings})}

    def command_of(self, job: Job) -> list[str]:
        """Return the command line of a job. The job resumes from its last checkpoint if there is one.

        It runs in the Python of this process, whichever wrote the sweep.
        """
        return [sys.executable, *self.command[1:], *job.overrides, override("hydra.run.dir", job.folder), "resume=true"]


def swept_settings(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Return the settings that differ between the jobs: setting -> its value in every job, "" where it was not set."""
    settings = [dict(unquoted(override) for override in job.overrides) for job in jobs]
    keys = list(dict.fromkeys(key for job in settings for key in job))
    values = {key: [job.get(key, "") for job in settings] for key in keys}
    return {key: column for key, column in values.items() if len(set(column)) > 1}


def new_sweep(
    folder: Path, launcher: dict[str, Any], command: Sequence[str] | None = None, config_dir: str | None = None
) -> Sweep:
    """Return a sweep without jobs. Nothing is written yet.

    Args:
        folder: Folder of the sweep.
        launcher: The function that runs the jobs and its arguments.
        command: What every job starts, without its overrides; None for rim-train.
        config_dir: Folder of further configuration files (`--config-dir`) for rim-train; None if there is none.

    Raises:
        ValueError: If the folder holds a sweep already, or its name cannot be handed to the jobs.
    """
    quoted(folder)
    if (folder / JOURNAL).is_file():
        raise ValueError(
            f"{folder} holds a sweep already: resume it by `rim-sweep resume {folder}`, or set another hydra.sweep.dir."
        )
    if command is None:
        configs = () if config_dir is None else ("--config-dir", str(real_path(config_dir)))
        command = (sys.executable, *TRAINING, *configs)
    return Sweep(folder, tuple(command), launcher, ())


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep in a folder.

    Raises:
        FileNotFoundError: If there is no sweep.
        ValueError: If a newer version wrote it, or it is damaged.
    """
    from rim_lightning.runs.records import SweepRecord, read_record

    try:
        record = read_record(folder / JOURNAL, SweepRecord, "give the directory of a sweep, which rim-train -m made")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{folder} holds no sweep (no {JOURNAL}): give the directory of a `rim-train -m`."
        ) from None
    if record.format > FORMAT:
        raise ValueError(f"{folder / JOURNAL} has format {record.format}: a newer version wrote it, install that one.")
    jobs = tuple(Job(job.index, tuple(job.overrides), folder / str(job.index)) for job in record.jobs)
    return Sweep(folder, tuple(record.command), record.launcher, jobs, record.format)
