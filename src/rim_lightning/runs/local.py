"""Run the jobs of a sweep on this machine: each in its own process, several at once."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.progress import progress_bar, say
from rim_lightning.runs.state import read_attempts
from rim_lightning.runs.sweep import Job, Sweep


class Slot(NamedTuple):
    """Room for one job at a time.

    Attributes:
        cores: Numbers of the cores that the job may use.
        gpus: Names of the GPUs that the job sees; if empty, no GPU is hidden from it.
    """

    cores: tuple[int, ...]
    gpus: tuple[str, ...]


def make_slots(parallel: int | None, gpus_per_job: int, cores: Sequence[int], gpus: Sequence[str]) -> list[Slot]:
    """Divide cores and GPUs evenly.

    Args:
        parallel: Number of jobs at once. None for one job per `gpus_per_job` GPUs or, if that is 0, one per core.
        gpus_per_job: Number of GPUs that a job has to itself. If 0, the jobs share all GPUs.
        cores: Numbers of the cores that there are.
        gpus: Names of the GPUs that there are.

    Returns:
        One slot per job at once.

    Raises:
        ValueError: If there is less than one core, or too few GPUs, for a job.
    """
    if gpus_per_job and len(gpus) < gpus_per_job * (parallel or 1):
        raise ValueError(
            f"hydra.launcher.gpus_per_job={gpus_per_job} with hydra.launcher.parallel={parallel} asks for more than "
            f"the {len(gpus)} GPUs there are."
        )
    count = parallel or (len(gpus) // gpus_per_job if gpus_per_job else len(cores))
    if not 1 <= count <= len(cores):
        raise ValueError(f"hydra.launcher.parallel is {count}; it must lie in 1..{len(cores)}, the number of cores.")
    share = len(cores) // count
    return [
        Slot(
            tuple(cores[number * share : (number + 1) * share]),
            tuple(gpus[number * gpus_per_job : (number + 1) * gpus_per_job]),
        )
        for number in range(count)
    ]


def run_locally(sweep: Sweep, jobs: Sequence[Job], parallel: int | None, gpus_per_job: int) -> None:
    """Run jobs until all have ended, whether they succeed or fail. Each job records its state in its folder.

    Ctrl-C and SIGTERM are passed on to the jobs, which save and stop.

    Args:
        sweep: Sweep of the jobs.
        jobs: Jobs to run, in this order.
        parallel: See `make_slots`.
        gpus_per_job: See `make_slots`.

    Raises:
        ValueError: See `make_slots`.
        KeyboardInterrupt: If Ctrl-C or SIGTERM stopped the jobs.
    """
    slots: SimpleQueue[Slot] = SimpleQueue()
    for slot in make_slots(parallel, gpus_per_job, available_cores(), visible_gpus(gpus_per_job)):
        slots.put(slot)
    processes: dict[int, subprocess.Popen] = {}
    stopping = threading.Event()

    def run(job: Job) -> Job:
        slot = slots.get()
        try:
            if not stopping.is_set():
                _run_one(sweep, job, slot, processes, stopping)
        finally:
            slots.put(slot)
        return job

    bar = progress_bar(total=len(jobs), desc="jobs", unit="job")
    with ThreadPoolExecutor(slots.qsize()) as pool, _sigterm_is_ctrl_c(), bar:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            for future in as_completed(futures):
                job = future.result()
                bar.update()
                if not stopping.is_set():
                    say(f"job {job.number} {_state_in_words(job)}: {' '.join(job.overrides)}")
        except KeyboardInterrupt:
            stopping.set()
            say("stopping: the running jobs save and end")
            for process in list(processes.values()):
                process.terminate()
            raise


def available_cores() -> list[int]:
    """Return the numbers of the cores that this process may use. Only Linux can tell them; others have them all."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_gpus(gpus_per_job: int) -> list[str]:
    """Return the names of the GPUs that jobs may be given, as `CUDA_VISIBLE_DEVICES` has them.

    If a job has no GPU to itself, the list is empty and torch is not imported.
    """
    if not gpus_per_job:
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _run_one(
    sweep: Sweep, job: Job, slot: Slot, processes: dict[int, subprocess.Popen], stopping: threading.Event
) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | sweep.environment_of(job) | {"OMP_NUM_THREADS": str(len(slot.cores))}
    if slot.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    attempts_before = read_attempts(job.folder)
    if hasattr(os, "sched_setaffinity"):  # Linux: of this thread and of the processes that it starts
        os.sched_setaffinity(0, slot.cores)
    with open(job.log, "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            sweep.command_of(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process, which passes it on once
        )
        processes[job.number] = process
        if stopping.is_set():
            process.terminate()
        code = process.wait()
    del processes[job.number]
    if code and read_attempts(job.folder) == attempts_before and job.state.name != "running":
        _record_failed_start(job, attempts_before, code)


def _record_failed_start(job: Job, attempts: int, code: int) -> None:
    """Record that a job failed which died before it could do so itself, for example because of a wrong override."""
    lines = [line for line in job.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if lines and "HYDRA_FULL_ERROR" in lines[-1]:  # Hydra's last line says how to see a trace
        del lines[-1]
    message = lines[-1] if lines else f"it ended with {code} without a message"
    if code < 0:
        message = f"killed by {signal.Signals(-code).name}; lack of memory is the usual reason"
    write_json(RunFolder(job.folder).state, {"name": "failed", "attempts": attempts + 1, "message": message})


def _state_in_words(job: Job) -> str:
    state = job.state
    return f"{state.name} ({state.message})" if state.message else state.name


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt within the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
