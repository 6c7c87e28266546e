"""Keeps `last.ckpt` current, so that a killed run loses minutes and a run that is asked to stop loses nothing."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from rim_lightning.distributed import any_rank
from rim_lightning.runs.signals import SIGNALS, Interrupted
from rim_lightning.training.deferred import Deferred


class LastCheckpoint(Checkpoint):
    """Saves at the end of every epoch, every few minutes between, and one batch before the end of an epoch.

    The last of these is for a kill during validation, which is not resumed but repeated. A signal of `SIGNALS` saves
    after the batch that is being trained and ends the run with `Interrupted`; during validation it ends it at once.
    A second signal of the same kind does what it does without us: it kills.

    Args:
        dirpath: folder of the checkpoint.
        filename: its name, with suffix.
        minutes: longest time between two saves; 0 saves after every batch.
    """

    def __init__(self, dirpath: str, filename: str = "last.ckpt", minutes: float = 10.0) -> None:
        self.path = Path(dirpath) / filename
        self.minutes = minutes
        self._signum: int | None = None
        self._saved = 0.0
        self._handlers: dict[int, Any] = {}
        self._asked: Deferred | None = None  # what the ranks wanted after the batch before

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the signals in place of Lightning, which saves inside the handler, in the middle of a step."""
        self._saved, self._asked = time.monotonic(), None
        if threading.current_thread() is threading.main_thread():
            self._handlers = {signum: signal.signal(signum, self._ask_to_stop) for signum in SIGNALS}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is time to; stop where a signal asked for it. All ranks decide alike."""
        left = trainer.num_training_batches - batch_idx - 1
        due, stop = self._wishes(trainer, time.monotonic() - self._saved >= 60 * self.minutes)
        if left and (due or stop or left == 1):
            self._save(trainer)
        if stop:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the finished epoch, after its validation."""
        self._save(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Stop during a validation that may take minutes; it is repeated when the run goes on."""
        if trainer.state.fn == "fit" and self._wishes(trainer)[1]:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _wishes(self, trainer: pl.Trainer, due: bool = False) -> tuple[bool, bool]:
        """Whether to save and whether to stop, on all ranks alike. Several ranks learn of it one batch later, so that
        none waits for its device to tell what the others want.
        """
        wishes = [due, self._signum is not None]
        if trainer.world_size == 1:
            return due, wishes[1]
        before, self._asked = self._asked, Deferred(any_rank(wishes, trainer.strategy.root_device))
        return (False, False) if before is None else tuple(before.read().bool().tolist())

    def _ask_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self._signum = signum
        signal.signal(signum, self._handlers.get(signum) or signal.SIG_DFL)

    def _restore(self) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self._handlers = {}

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = time.monotonic()
        self._asked = None  # a wish from before this save is granted; a signal is asked about again

    def _stop(self, trainer: pl.Trainer) -> None:
        signum = self._signum or signal.SIGTERM
        raise Interrupted(
            f"stopped by {signal.Signals(signum).name} in epoch {trainer.current_epoch}; {self.path} has "
            "everything up to here, or up to the batch before: the same command with resume=true goes on.",
            signum,
        )
