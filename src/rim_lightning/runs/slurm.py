"""The jobs of a sweep on a SLURM cluster, by submitit: one array job, requeued when it is preempted."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rim_lightning.extras import require_extra
from rim_lightning.runs.progress import say
from rim_lightning.runs.sweep import Job, Sweep

UNFINISHED = ("waiting", "running")


class ClusterJob:
    """What runs on every task of a job: the command of the job, which finds rank and world size in SLURM's variables.

    Args:
        command: Command line of the job.
        environment: Variables that the job gets in addition.
        log: File to which the output is appended.
    """

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.command = command
        self.environment = environment
        self.log = log
        self.process: subprocess.Popen | None = None

    def __call__(self) -> int:
        """Run the command to its end and return its exit code."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a", encoding="utf-8") as log:
            environment = os.environ | self.environment
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
            return self.process.wait()

    def checkpoint(self) -> Any:
        """Save and queue the job again. submitit calls this when the job is preempted or its time is nearly over."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        return DelayedSubmission(ClusterJob(self.command, self.environment, self.log))


def submit(  # noqa: PLR0913, the arguments after `jobs` are the keys of conf/launcher/slurm.yaml, which are public
    sweep: Sweep,
    jobs: Sequence[Job],
    minutes: int,
    partition: str | None,
    nodes: int,
    gpus: int,
    cores_per_gpu: int,
    memory: str | None,
    parallel: int,
    wait: bool,
    cluster: str | None = None,
    more: dict[str, Any] | None = None,
) -> None:
    """Queue the jobs as one array. `rim-sweep status` shows their states.

    Args:
        sweep: Sweep of the jobs.
        jobs: Jobs to run.
        minutes: Time limit of an attempt. A job that needs longer saves, is queued again and resumes.
        partition: Partition of the cluster; None for its default.
        nodes: Number of machines of a job.
        gpus: Number of GPUs of a machine, one task each. If 0, a machine has one task without GPU.
        cores_per_gpu: Number of cores of a task.
        memory: Memory of a machine as SLURM writes it ("64GB"); None for the cluster's default.
        parallel: Number of jobs of the array at once.
        wait: Return only when all jobs have ended, as a search needs it.
        cluster: None for the cluster at hand; "local" for this machine, to try things out.
        more: Further parameters of `submitit.AutoExecutor.update_parameters`.

    Raises:
        MissingExtra: If submitit is not installed.
    """
    require_extra("slurm", "launcher=slurm")
    import submitit

    if cluster is None and shutil.which("sbatch") is None:  # submitit would run the jobs on this machine instead
        raise ValueError(
            "launcher=slurm finds no SLURM here (no sbatch): call it on a node of the cluster, or use launcher=local."
        )
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
        tasks = [executor.submit(ClusterJob(sweep.command_of(job), sweep.environment_of(job), job.log)) for job in jobs]
    for job, task in zip(jobs, tasks, strict=True):
        say(f"job {job.number} is queued as {task.job_id}: {' '.join(job.overrides)}")
    while wait and any(not task.done() or job.state.name in UNFINISHED for job, task in zip(jobs, tasks, strict=True)):
        time.sleep(1 if cluster == "local" else 20)
