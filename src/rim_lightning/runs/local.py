"""The jobs of a sweep on this machine: each in a process of its own, as many at once as there is room for."""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from tqdm import tqdm

from rim_lightning.files import write_json
from rim_lightning.runs.state import STATE, read_attempts
from rim_lightning.runs.sweep import Job, Sweep

LOG = "log.txt"  # in the directory of a job: what it printed, in all its attempts


class Slot(NamedTuple):
    """Room for one job at a time. Attributes: cores: that it may use. gpus: that it sees; none: no GPU is hidden."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...]


def make_slots(parallel: int | None, gpus_per_job: int, cores: Sequence[int], gpus: Sequence[str]) -> list[Slot]:
    """Divide cores and GPUs evenly.

    Args:
        parallel: jobs at once; None: one for every `gpus_per_job` GPUs, without GPUs one for every core.
        gpus_per_job: GPUs of a job, which no other job sees meanwhile; 0: jobs share whatever GPUs there are.
        cores, gpus: what there is.

    Raises:
        ValueError: there is less than one core, or too few GPUs, for a job.
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


def run_locally(sweep: Sweep, jobs: Sequence[Job], parallel: int | None = 1, gpus_per_job: int = 0) -> None:
    """Run jobs until all have ended, whether well or not; what became of each is in its directory.

    Ctrl-C and SIGTERM are passed on to the jobs, which save and stop.

    Args:
        sweep: what the jobs belong to. jobs: those to run, in this order.
        parallel, gpus_per_job: see `make_slots`.

    Raises:
        ValueError: see `make_slots`. KeyboardInterrupt: it was stopped.
    """
    slots: SimpleQueue[Slot] = SimpleQueue()
    for slot in make_slots(parallel, gpus_per_job, sorted(os.sched_getaffinity(0)), visible_gpus(gpus_per_job)):
        slots.put(slot)
    live: dict[int, subprocess.Popen] = {}
    stopping = threading.Event()

    def run(job: Job) -> Job:
        slot = slots.get()
        try:
            if not stopping.is_set():
                _run_one(sweep, job, slot, live, stopping)
        finally:
            slots.put(slot)
        return job

    bar = tqdm(total=len(jobs), desc="jobs", unit="job")
    with ThreadPoolExecutor(slots.qsize()) as pool, _sigterm_is_ctrl_c(), bar:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            for future in as_completed(futures):
                job = future.result()
                bar.update()
                if not stopping.is_set():
                    tqdm.write(f"job {job.index} {_told(job)}: {' '.join(job.overrides)}")
        except KeyboardInterrupt:
            stopping.set()
            tqdm.write("stopping: the running jobs save and end")
            for process in list(live.values()):
                process.terminate()
            raise


def visible_gpus(gpus_per_job: int) -> list[str]:
    """The GPUs that jobs may be given, as `CUDA_VISIBLE_DEVICES` names them; none are looked for without need."""
    if not gpus_per_job:
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _run_one(sweep: Sweep, job: Job, slot: Slot, live: dict[int, subprocess.Popen], stopping: threading.Event) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | sweep.environment | {"OMP_NUM_THREADS": str(len(slot.cores))}
    if slot.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    before = read_attempts(job.folder)
    os.sched_setaffinity(0, slot.cores)  # of this thread alone, and of what it starts
    with open(job.folder / LOG, "a") as log:
        process = subprocess.Popen(
            sweep.command_of(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process, which passes it on once
        )
        live[job.index] = process
        if stopping.is_set():
            process.terminate()
        code = process.wait()
    del live[job.index]
    if code and read_attempts(job.folder) == before and job.state.name != "running":
        _record_stillborn(job, before, code)


def _record_stillborn(job: Job, attempts: int, code: int) -> None:
    """A job that died before it could record anything, e.g. of a wrong override, has failed."""
    lines = (job.folder / LOG).read_text(errors="replace").strip().splitlines()
    message = lines[-1] if lines else f"it ended with {code} without a word"
    write_json(job.folder / STATE, {"name": "failed", "attempts": attempts + 1, "message": message})


def _told(job: Job) -> str:
    state = job.state
    return f"{state.name} ({state.message})" if state.message else state.name


@contextmanager
def _sigterm_is_ctrl_c():
    """SIGTERM raises KeyboardInterrupt meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
