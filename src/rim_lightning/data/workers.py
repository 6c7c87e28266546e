"""Worker processes that prepare images: one thread each, and they end with the run that started them."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Start a pool of processes. The functions that they run must be importable and picklable.

    The processes are spawned, because a fork of a process that has used the threads of torch or OpenCV can hang.

    Args:
        workers: Number of processes.
    """
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)


def _start() -> None:
    import cv2

    # Parallelism comes from the processes; threads of OpenCV inside each would fight for the same cores.
    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends: a worker whose parent was killed would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
