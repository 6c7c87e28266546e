"""Hydra's launcher for `rim-train -m`: every job is a process of its own, recorded beside the sweep."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import call
from omegaconf import DictConfig

from rim_lightning.sweeps.jobs import Job, Sweep, new_sweep


class RimLauncher(Launcher):
    """Records the jobs of a sweep, then has them run.

    Args:
        function: dotted name of (sweep, jobs, **settings) -> None: `run_locally`, or `submit` to a cluster.
        settings: of the function.
    """

    def __init__(self, function: str, **settings: Any) -> None:
        self.how = {"_target_": function, "_convert_": "all", **settings}
        self.sweep: Sweep | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the first launch."""
        self.context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs; returns what the sweeper optimises, NaN where a job failed or was not measured."""
        try:
            jobs = self._run(job_overrides)
        except (ValueError, OSError) as error:
            sys.exit(f"rim-train: {error}")
        except KeyboardInterrupt:
            sys.exit(f"rim-train: the sweep was stopped; `rim-sweep resume {self.sweep.folder}` goes on.")
        metric = self.config.get("optimised_metric")
        values = [job.figures.get(metric, float("nan")) if metric else None for job in jobs]
        return [
            JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED, _return_value=value)
            for job, value in zip(jobs, values, strict=True)
        ]

    def _run(self, job_overrides: Sequence[Sequence[str]]) -> Sequence[Job]:
        for overrides in job_overrides:  # a wrong override is told before anything runs
            self.context.config_loader.load_sweep_config(self.config, list(overrides))
        if self.sweep is None:
            self.sweep = new_sweep(Path(str(self.config.hydra.sweep.dir)).resolve(), self.how)
        first = len(self.sweep.jobs)
        self.sweep = self.sweep.with_jobs(job_overrides)
        self.sweep.write()
        jobs = self.sweep.jobs[first:]
        call(self.how, self.sweep, jobs)
        print(f"Figures of the jobs: rim-sweep table {self.sweep.folder}")
        return jobs
