"""Signals that stop a run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C; the end of a scheduler's time limit; a scheduler's warning before it, which Windows does not have."""


class Interrupted(BaseException):
    """Raised if a signal stopped the run.

    It is no `Exception`, as KeyboardInterrupt is none: a library that catches every error must not swallow it.

    Attributes:
        signum: Number of the signal.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum


@contextmanager
def stopped_by_signals(advice: str = "repeat the command to resume") -> Iterator[None]:
    """End the block at once if a signal of `SIGNALS` arrives. A second signal kills the process.

    Lightning itself would finish its predictions or, under SLURM, save a checkpoint. Only the main thread can receive
    signals: in any other thread the block runs unchanged.

    Args:
        advice: How to resume, the end of the message.

    Raises:
        Interrupted: If such a signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)
        name = signal.Signals(signum).name
        raise Interrupted(f"stopped by {name}; the finished files stay: {advice}.", signum)

    handlers = {signum: signal.signal(signum, stop) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler or signal.SIG_DFL)
