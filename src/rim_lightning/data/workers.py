"""Worker processes that prepare images: one thread each, and gone when the run that started them is gone."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Pool of `workers` processes; what they run must be importable and picklable.

    They are spawned, because a fork of a process that has used the threads of torch or OpenCV can hang.
    """
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)


def _start() -> None:
    import cv2

    # Parallelism comes from the processes; threads of OpenCV inside each would fight for the same cores.
    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    wait([parent_process().sentinel])
    os._exit(1)
