"""rim_lightning.runs.signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C, a scheduler's end of time, its warning before


class Interrupted(Exception):
    """The run stopped because a signal asked for it. Attributes: signum: the signal."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A signal of `SIGNALS` ends the run at once with `Interrupted`, a second one kills. Lightning would go on with its
    predictions, or, under SLURM, save a checkpoint.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        name = signal.Signals(signum).name
        raise Interrupted(f"stopped by {name}; the finished files stay: the same command goes on.", signum)

    before = {signum: signal.signal(signum, stop) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
