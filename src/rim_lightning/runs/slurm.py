"""The jobs of a sweep on a SLURM cluster, by submitit: one array job, requeued when it is pre-empted."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rim_lightning.runs.local import LOG
from rim_lightning.runs.sweep import Job, Sweep

OPEN = ("waiting", "running")


class ClusterJob:
    """What runs on every task of a job: the command of the job, which finds rank and world in SLURM's variables."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.command = command
        self.environment = environment
        self.log = log
        self.process: subprocess.Popen | None = None

    def __call__(self) -> int:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a") as log:
            environment = os.environ | self.environment
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
            return self.process.wait()

    def checkpoint(self) -> Any:
        """Called by submitit when the job is pre-empted or its time is nearly over: save, then queue again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(ClusterJob(self.command, self.environment, self.log))


def submit(
    sweep: Sweep,
    jobs: Sequence[Job],
    minutes: int,
    partition: str | None = None,
    nodes: int = 1,
    gpus: int = 1,
    cores_per_gpu: int = 8,
    memory: str | None = None,
    parallel: int = 64,
    wait: bool = False,
    cluster: str | None = None,
    more: dict[str, Any] | None = None,
) -> None:
    """Queue the jobs as one array; `rim-sweep status` tells what becomes of them.

    Args:
        sweep: what the jobs belong to. jobs: those to run.
        minutes: time limit of an attempt; a job that needs longer saves, is queued again and goes on.
        partition: of the cluster; None: its default.
        nodes: of a job. gpus: of a node, one task each; 0: one task without GPU. cores_per_gpu: of a task.
        memory: of a node, as SLURM writes it; None: the cluster's default.
        parallel: jobs of the array at once.
        wait: return when all have ended, as a search needs it.
        cluster: None: the one at hand; "local": this machine, to try it out.
        more: further parameters of `submitit.AutoExecutor.update_parameters`.

    Raises:
        ValueError: submitit is missing.
    """
    try:
        import submitit
    except ImportError as error:
        raise ValueError("launcher=slurm needs submitit: pip install 'rim-lightning[slurm]'.") from error
    executor = submitit.AutoExecutor(sweep.folder / "slurm", cluster=cluster)
    executor.update_parameters(
        name="rim-sweep",
        timeout_min=minutes,
        nodes=nodes,
        tasks_per_node=max(gpus, 1),
        gpus_per_node=gpus,
        cpus_per_task=cores_per_gpu,
        slurm_array_parallelism=parallel,
        **({"slurm_partition": partition} if partition else {}),
        **({"slurm_mem": memory} if memory else {}),
        **(more or {}),
    )
    with executor.batch():
        queued = [
            executor.submit(ClusterJob(sweep.command_of(job), sweep.environment, job.folder / LOG)) for job in jobs
        ]
    for job, entry in zip(jobs, queued, strict=True):
        print(f"job {job.index} is queued as {entry.job_id}: {' '.join(job.overrides)}")
    while wait and any(not entry.done() or job.state.name in OPEN for job, entry in zip(jobs, queued, strict=True)):
        time.sleep(1 if cluster == "local" else 20)
