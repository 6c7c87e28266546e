"""The checkpoint `last.ckpt`: a killed run loses minutes, and a run stopped by a signal loses nothing."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from rim_lightning.distributed import any_rank
from rim_lightning.runs.folder import folder_of_checkpoint
from rim_lightning.runs.signals import SIGNALS, Interrupted
from rim_lightning.training.deferred import Deferred


class LastCheckpoint(Checkpoint):
    """Saves at the end of every epoch, every few minutes between, and one batch before the end of an epoch.

    The save one batch before the end limits the loss if the run is killed during validation: the last batch and the
    validation are repeated. A signal of `SIGNALS` saves after the current batch and ends the run with `Interrupted`.
    During validation it ends the run at once. A second signal of the same kind kills the process.

    Args:
        dirpath: Folder of the checkpoint.
        minutes: Longest time between two saves; 0 saves after every batch.
        filename: Its name, with suffix.
    """

    def __init__(self, dirpath: str, minutes: float, filename: str = "last.ckpt") -> None:
        self.path = Path(dirpath) / filename
        self.minutes = minutes
        self._signum: int | None = None
        self._saved = 0.0
        self._handlers: dict[int, Any] = {}
        self._requests: Deferred | None = None  # what the ranks requested after the batch before

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle the signals instead of Lightning, which would save inside the handler, in the middle of a step."""
        self._saved, self._requests = time.monotonic(), None
        if threading.current_thread() is threading.main_thread():
            self._handlers = {signum: signal.signal(signum, self._request_stop) for signum in SIGNALS}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a save is due, and stop after a signal. All ranks decide alike."""
        remaining = trainer.num_training_batches - batch_idx - 1
        due, stop = self._agreed_requests(trainer, time.monotonic() - self._saved >= 60 * self.minutes)
        if remaining and (due or stop or remaining == 1):
            self._save(trainer)
        if stop:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the finished epoch, after its validation."""
        self._save(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Stop during a validation that may take minutes. It is repeated when the run is resumed."""
        if trainer.state.fn == "fit" and self._agreed_requests(trainer)[1]:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the earlier signal handlers."""
        self._restore_handlers()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the earlier signal handlers."""
        self._restore_handlers()

    def _agreed_requests(self, trainer: pl.Trainer, due: bool = False) -> tuple[bool, bool]:
        """Return whether to save and whether to stop, the same on all ranks.

        With several ranks a request takes effect one batch later, so that no rank waits for its device.
        """
        requests = [due, self._signum is not None]
        if trainer.world_size == 1:
            return due, requests[1]
        before, self._requests = self._requests, Deferred(any_rank(requests, trainer.strategy.root_device))
        if before is None:
            return False, False
        save, stop = before.read().bool().tolist()
        return save, stop

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        self._signum = signum
        signal.signal(signum, self._handlers.get(signum) or signal.SIG_DFL)

    def _restore_handlers(self) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self._handlers = {}

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it from its connector
            return  # a few batches are no run that could be resumed
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = time.monotonic()
        self._requests = None  # this save serves the earlier requests; a signal repeats its own

    def _stop(self, trainer: pl.Trainer) -> None:
        signum = self._signum or signal.SIGTERM
        raise Interrupted(
            f"stopped by {signal.Signals(signum).name} in epoch {trainer.current_epoch}; {self.path} has "
            f"everything up to here, or up to the batch before: `{folder_of_checkpoint(self.path).resume_command}` "
            "resumes the run.",
            signum,
        )
