"""Hydra's launcher for `rim-train -m`: every job is a process of its own, recorded beside the sweep."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import call
from omegaconf import DictConfig

from rim_lightning.files import write_json
from rim_lightning.runs.sweep import JOURNAL, Job, Sweep, new_sweep, read_sweep

TOLD = "told.json"  # in the directory of a search: what it was told of every job, null: that it failed


class RimLauncher(Launcher):
    """Records the jobs of a sweep, then has them run.

    Args:
        function: dotted name of (sweep, jobs, **settings) -> None: `run_locally`, or `submit` to a cluster.
        settings: of the function.
    """

    def __init__(self, function: str, **settings: Any) -> None:
        self.how = {"_target_": function, "_convert_": "all", **settings}
        self.sweep: Sweep | None = None
        self.told: list[float | None] = []
        self.asked = 0  # jobs that the sweeper has asked for

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first launch."""
        self.context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs; returns to a search what it optimizes, or that the job failed. A grid is told nothing:
        its jobs are independent, and a failed one must not end the sweep.
        """
        try:
            jobs = self._run(job_overrides)
        except (ValueError, OSError) as error:
            sys.exit(f"rim-train: {error}")
        except KeyboardInterrupt:
            how = (
                "the same command" if self.searches or self.sweep is None else f"`rim-sweep resume {self.sweep.folder}`"
            )
            sys.exit(f"rim-train: the sweep was stopped; {how} goes on.")
        return [self._answer(job) for job in jobs]

    @property
    def searches(self) -> bool:
        """Whether the sweeper chooses jobs by the figures of earlier ones."""
        return not str(self.config.hydra.sweeper._target_).endswith("BasicSweeper")

    def _answer(self, job: Job) -> JobReturn:
        answer = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
        if self.searches:
            value = self.told[job.index]
            if value is None:
                answer.status = JobStatus.FAILED
                value = RuntimeError(f"{job.folder} has no {self.config.optimized_metric}")
            answer.return_value = value
        return answer

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Write down what the search is told of its jobs: begun again, it is told the same, whatever was retried."""
        for job in jobs[max(len(self.told) - jobs[0].index, 0) :]:
            value = job.figures.get(self.config.optimized_metric) if job.state.name == "finished" else None
            self.told.append(value)
        write_json(self.sweep.folder / TOLD, self.told)

    def _config_dir(self) -> str | None:
        """Return the directory that `--config-dir` added, which every job needs too."""
        sources = self.config.hydra.runtime.config_sources
        return next((source.path for source in sources if source.provider == "command-line"), None)

    def _run(self, job_overrides: Sequence[Sequence[str]]) -> Sequence[Job]:
        """The jobs of the batch, all run. A search that is begun again in its directory asks for the same jobs in the
        same order, as long as its sampler is seeded: those that ended are not run again.
        """
        if self.searches and not self.config.get("optimized_metric"):
            raise ValueError("A search needs optimized_metric=<key of metrics.json>, for example val/psnr_gain.")
        if self.searches and self.how.get("wait") is False:
            raise ValueError("A search learns from the figures of its jobs: add hydra.launcher.wait=true.")
        for overrides in job_overrides:  # a wrong override is told before anything runs
            self.context.config_loader.load_sweep_config(self.config, list(overrides))
        if self.sweep is None:
            folder = Path(str(self.config.hydra.sweep.dir)).resolve()
            begun = self.searches and (folder / JOURNAL).is_file()
            self.sweep = read_sweep(folder) if begun else new_sweep(folder, self.how, config_dir=self._config_dir())
        first = self.asked
        known = self.sweep.jobs[first : first + len(job_overrides)]
        for job, overrides in zip(known, job_overrides, strict=False):
            if job.overrides != tuple(overrides):
                raise ValueError(
                    f"Job {job.index} of {self.sweep.folder} is {' '.join(job.overrides)}, but this search asks for "
                    f"{' '.join(overrides)}: give the settings and the sampler's seed of the first time, or another "
                    "hydra.sweep.dir."
                )
        self.sweep = self.sweep.with_jobs(job_overrides[len(known) :])
        self.sweep.write()
        self.asked += len(job_overrides)
        jobs = self.sweep.jobs[first : self.asked]
        if self.searches and (self.sweep.folder / TOLD).is_file():
            self.told = json.loads((self.sweep.folder / TOLD).read_text())
        open_jobs = [
            job for job in jobs if job.index >= len(self.told) and job.state.name not in ("finished", "failed")
        ]
        alive = [str(job.index) for job in open_jobs if job.state.name == "running"]
        if self.searches and alive:
            raise ValueError(f"Job {', '.join(alive)} of {self.sweep.folder} still runs: wait for its end, then go on.")
        if open_jobs or not self.searches:
            call(self.how, self.sweep, open_jobs)
        if self.searches:
            self._tell(jobs)
        print(f"Figures of the jobs: rim-sweep table {self.sweep.folder}")
        return jobs
