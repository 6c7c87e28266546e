"""Several processes of one run: they start training together, and none outlives another that has failed."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from rim_lightning.distributed import message_board

POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0  # after another process has ended, for the error of the network that ends this one
NETWORK_DISK_SECONDS = 10.0  # until another machine sees a file that is there
READY_SECONDS = 1800.0  # after the first process is ready, as Lightning waits for a process to join
PARENT = "RIM_FIRST_PROCESS"
"""Environment variable of the processes that Lightning starts: the id of the one that started them."""
READY = "ready"


class Ranks:
    """What the processes that torchrun or SLURM has started tell each other before they train.

    A single process, and those that Lightning starts itself once the first one is ready, have nobody to wait for.
    """

    def __init__(self) -> None:
        kinds = (TorchElasticEnvironment, SLURMEnvironment)
        environment = next((kind() for kind in kinds if kind.detect()), None)
        self.rank, self.world, self._board = 0, 1, None
        if environment is not None and environment.world_size() > 1:
            self.rank, self.world = environment.global_rank(), environment.world_size()
            self._board = message_board(environment.main_address, environment.main_port, self.rank, self.world)

    @contextmanager
    def failure_told(self) -> Iterator[None]:
        """Tell the others why this process fails, if the block raises."""
        try:
            yield
        except BaseException as error:
            self._tell(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise

    def wait_for_first(self) -> None:
        """Wait until the first process is ready: it prepares the faces and trains the teacher for all.

        Raises:
            ValueError: If it has failed.
        """
        if self.rank != 0:
            self._wait_for(0)

    def all_ready(self) -> None:
        """Say that this process is ready, and wait for the others.

        Raises:
            ValueError: If another process has failed, or is not ready in time.
        """
        self._tell(READY)
        end = time.monotonic() + READY_SECONDS
        for rank in range(self.world):
            self._wait_for(rank, end)

    def _tell(self, word: str) -> None:
        if self._board is not None:
            try:
                self._board.set(str(self.rank), word)
            except RuntimeError:  # the first process, which has the board, has ended
                if word == READY:
                    raise

    def _wait_for(self, rank: int, end: float = float("inf")) -> None:
        if self._board is None:
            return
        while not self._board.check([str(rank)]):  # not `wait`, in which no signal could reach this process
            if time.monotonic() > end:
                raise ValueError(
                    f"The process of rank {rank} is not ready to train in {READY_SECONDS / 60:.0f} minutes."
                )
            time.sleep(POLL_SECONDS)
        word = self._board.get(str(rank)).decode()
        if word != READY:
            raise ValueError(f"The process of rank {rank} has stopped: {word}")


def check_visible(path: Path, setting: str) -> None:
    """Check that this process sees a file that the first process has made.

    Args:
        path: The file.
        setting: Name of the setting that says where, for the message.

    Raises:
        ValueError: If it is not there.
    """
    end = time.monotonic() + NETWORK_DISK_SECONDS
    while not path.is_file():
        if time.monotonic() > end:
            raise ValueError(
                f"This process does not see {path}, which the first process of the run has made: all processes need "
                f"the same {setting}, on a disk that all machines share."
            )
        time.sleep(POLL_SECONDS)
        if path.parent.is_dir():
            os.listdir(path.parent)  # a network disk asks its server again


@contextmanager
def watched(trainer: pl.Trainer) -> Iterator[None]:
    """Let the processes that Lightning starts, and the one that starts them, end together if one of them fails.

    Lightning itself looks every five seconds, and then kills without a word. A process that waits for another one in
    torch is reached by no exception and no signal; usually the network ends it before this does.

    Args:
        trainer: The trainer, before it fits.
    """
    parent = os.environ.get(PARENT)
    launcher: Any = trainer.strategy.launcher
    if not hasattr(launcher, "procs") or (parent is None and "LOCAL_RANK" in os.environ):
        yield  # one process, or others have started them all
    elif parent is not None:
        with _watch(lambda: "" if os.getppid() == int(parent) else "The first process of the run has ended"):
            yield
    else:
        os.environ[PARENT] = str(os.getpid())
        children = _Children(launcher, trainer.num_devices - 1)
        try:
            with _watch(children.failure):
                yield
        except BaseException:
            children.end()
            raise
        finally:
            del os.environ[PARENT]


@contextmanager
def _watch(failure: Callable[[], str]) -> Iterator[None]:
    """End this process if another one has failed and the block does not end by itself."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            reason = failure()
            if reason and not done.wait(GRACE_SECONDS):
                print(f"rim-train: {reason}: its own message says why.", file=sys.stderr, flush=True)
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


class _Children:
    """The processes that Lightning has started.

    Args:
        launcher: Lightning's launcher. Its list of them is emptied, for its own observer would kill this process.
        count: Number of processes that it will start.
    """

    def __init__(self, launcher: Any, count: int) -> None:
        self.launcher, self.count = launcher, count
        self.processes: list[Any] = []

    def failure(self) -> str:
        """Return which process has failed and how; "" for none."""
        if len(self.launcher.procs) == self.count:
            self.processes = list(self.launcher.procs)
            self.launcher.procs.clear()
        failed = [(rank, process.returncode) for rank, process in enumerate(self.processes, 1) if process.poll()]
        return f"The process of rank {failed[0][0]} has ended with code {failed[0][1]}" if failed else ""

    def end(self) -> None:
        """Wait until all have ended. One that does not do so by itself is stopped."""
        for stop in (lambda process: process.terminate(), lambda process: process.kill()):
            end = time.monotonic() + GRACE_SECONDS
            running = [process for process in (*self.processes, *self.launcher.procs) if process.poll() is None]
            while time.monotonic() < end and any(process.poll() is None for process in running):
                time.sleep(POLL_SECONDS)
            for process in running:
                if process.poll() is None:
                    stop(process)
