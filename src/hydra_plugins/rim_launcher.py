"""Hydra's launcher for `rim-train -m`: every job is a process of its own and is recorded in the folder of the sweep."""

import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import call
from omegaconf import DictConfig, OmegaConf

from rim_lightning.commands.errors import Hints, one_sentence
from rim_lightning.commands.hydra_command import hydra_prints_again
from rim_lightning.commands.settings_check import check_settings
from rim_lightning.commands.settings_rules import LAUNCHER_RULES, RULES
from rim_lightning.commands.train import check_packages
from rim_lightning.extras import require_extra
from rim_lightning.files import real_path, write_json
from rim_lightning.runs.progress import say
from rim_lightning.runs.records import read_reported
from rim_lightning.runs.state import only_process
from rim_lightning.runs.sweep import JOURNAL, Job, Sweep, new_sweep, read_sweep

REPORTED = "reported.json"
"""File of a search with what was reported to it of every job: the figure, or null if the job failed."""


class SweepEnd(Callback):
    """Ends `rim-train -m` with an exit code that is not 0 if a job of a grid did not finish."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at the jobs of all batches, whatever the sweeper. A search says itself what failed."""
        folder = real_path(str(config.hydra.sweep.dir))
        if not (folder / JOURNAL).is_file():
            return
        say(f"Figures of the jobs: rim-sweep table {shlex.quote(str(folder))}")
        if is_search(config):
            return
        with one_sentence("rim-train"):
            sweep = read_sweep(folder)
            if not sweep.is_queued:
                sweep.check_finished()


def is_search(config: DictConfig) -> bool:
    """Return True if the sweeper chooses jobs by the figures of earlier ones."""
    return not str(config.hydra.sweeper._target_).endswith("BasicSweeper")


class RimLauncher(Launcher):
    """Records the jobs of a sweep, then has them run.

    A grid gets no figures back: its jobs are independent, and a failed one must not end the sweep.

    Args:
        function: Dotted name of (sweep, jobs, **settings) -> None: `run_locally`, or `submit` for a cluster.
        settings: Settings of the function.
    """

    def __init__(self, function: str, **settings: Any) -> None:
        self.launch_config = {"_target_": function, "_convert_": "all", **settings}
        self.sweep: Sweep | None = None
        self.reported: list[float | list[float] | None] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands out before the first launch."""
        hydra_prints_again()
        self.context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs.

        Returns:
            For a search: the figure of every job, or that the job failed. For a grid: that every job is done.
        """
        folder = real_path(str(self.config.hydra.sweep.dir))
        place = shlex.quote(str(folder))
        resume = "repeat the same command" if self.searches else f"`rim-sweep resume {place}`"
        with one_sentence("rim-train", Hints(interrupted=f"the sweep was stopped; to resume it: {resume}")):
            self._check(job_overrides)
            with only_process(folder):
                sweep, jobs = self._take_jobs(job_overrides, initial_job_idx)
                self._run(sweep, jobs)
        return [self._result(job) for job in jobs]

    @property
    def searches(self) -> bool:
        """True if the sweeper chooses jobs by the figures of earlier ones."""
        return is_search(self.config)

    def _check(self, job_overrides: Sequence[Sequence[str]]) -> None:
        """Refuse wrong settings and overrides before anything runs. Every job looks for its files itself."""
        from rim_lightning.training.run import check_together  # Hydra imports this file for every command

        if self.searches and not self.config.get("optimized_metric"):
            raise ValueError("A search needs optimized_metric=<key of metrics.json>, for example val/psnr_gain.")
        if self.searches and self.launch_config.get("wait") is False:
            raise ValueError("A search learns from the figures of its jobs: add hydra.launcher.wait=true.")
        if self.launch_config["_target_"] == "rim_lightning.runs.slurm.submit":
            require_extra("slurm", "launcher=slurm")
        check_settings(OmegaConf.create({"launcher": self.launch_config}), LAUNCHER_RULES)
        for overrides in job_overrides:
            cfg = self.context.config_loader.load_sweep_config(self.config, list(overrides))
            check_settings(cfg, RULES["rim-train"])
            check_packages(cfg)
            check_together(cfg, teacher_weights=None, start_from=None, students_from=None)

    def _take_jobs(self, job_overrides: Sequence[Sequence[str]], first: int) -> tuple[Sweep, Sequence[Job]]:
        """Return the sweep and the jobs of the batch from number `first` on. Jobs that it lacks are written down.

        A search that is begun again in its folder asks for the same jobs in the same order, as long as its sampler is
        seeded.
        """
        sweep = self.sweep or self._begin()
        recorded_jobs = sweep.jobs[first : first + len(job_overrides)]
        for job, overrides in zip(recorded_jobs, job_overrides, strict=False):
            if job.overrides != tuple(overrides):
                raise ValueError(
                    f"Job {job.number} of {sweep.folder} is {' '.join(job.overrides)}, but this search asks for "
                    f"{' '.join(overrides)}: give the settings and the sampler's seed of the first time, or another "
                    "hydra.sweep.dir."
                )
        self.sweep = sweep = sweep.with_jobs(job_overrides[len(recorded_jobs) :])
        sweep.write()
        return sweep, sweep.jobs[first : first + len(job_overrides)]

    def _begin(self) -> Sweep:
        """Return the sweep in `hydra.sweep.dir` with which a search resumes, or a new one."""
        folder = real_path(str(self.config.hydra.sweep.dir))
        if not (self.searches and (folder / JOURNAL).is_file()):
            return new_sweep(folder, self.launch_config, config_dir=self._config_dir())
        sweep = read_sweep(folder)
        sweep.check_runnable()
        return sweep

    def _config_dir(self) -> str | None:
        """Return the folder that `--config-dir` added, which every job needs too."""
        sources = self.config.hydra.runtime.config_sources
        return next((source.path for source in sources if source.provider == "command-line"), None)

    def _run(self, sweep: Sweep, jobs: Sequence[Job]) -> None:
        """Run the jobs that have not ended. Write down what is reported of them to a search.

        A search that is begun again gets the same figures as the first time, whatever was retried in between.
        """
        file = sweep.folder / REPORTED
        if self.searches and file.is_file():
            self.reported = read_reported(file)
        unfinished = [
            job for job in jobs if job.number >= len(self.reported) and job.state.name not in ("finished", "failed")
        ]
        running = [str(job.number) for job in unfinished if job.state.name == "running"]
        if self.searches and running:
            raise ValueError(
                f"Job {', '.join(running)} of {sweep.folder} still runs: wait for its end, then repeat the command."
            )
        if unfinished or not self.searches:
            call(self.launch_config, sweep, unfinished)
        if self.searches:
            for job in jobs[max(len(self.reported) - jobs[0].number, 0) :]:
                self.reported.append(self._figure(job) if job.state.name == "finished" else None)
            write_json(file, self.reported)

    def _figure(self, job: Job) -> float | list[float] | None:
        """Return the figure, or the list of figures, that a search optimizes; None if the job lacks one."""
        metrics = self.config.optimized_metric
        if isinstance(metrics, str):
            return job.figures.get(metrics)
        figures = [job.figures[metric] for metric in metrics if metric in job.figures]
        return figures if len(figures) == len(metrics) else None

    def _result(self, job: Job) -> JobReturn:
        result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        if self.searches:
            value = self.reported[job.number]
            result.return_value = value
            if value is None:
                result.status = JobStatus.FAILED
                result.return_value = RuntimeError(f"{job.folder} has no {self.config.optimized_metric}")
        return result
