"""The progress bar of a training: one bar for each epoch, which names its stage."""

import math
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from rim_lightning.runs.progress import progress_bar, say
from rim_lightning.runs.provenance import duration_in_words


class StageProgress(ProgressBar):
    """Shows a bar for the batches of an epoch, and prints one line when the epoch has ended.

    Args:
        refresh_rate: Number of batches between two updates of the bar. 0 for no bar.
        stage: Name of the training, for a module that has no stages.
    """

    def __init__(self, refresh_rate: int, stage: str = "") -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self.stage = stage
        self._bar: tqdm | None = None
        self._enabled = True
        self._started = 0.0
        self._batches = 0

    def disable(self) -> None:
        """Show nothing. Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print a line without breaking the bar."""
        say(" ".join(map(str, args)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a bar: a run that resumes within an epoch never calls `on_train_epoch_start` for it."""
        self.on_train_epoch_start(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin a bar."""
        self._started = time.monotonic()
        self._close()
        self._open(self._title(trainer), trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        self._batches = batch_idx + 1
        self._move(self._batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar and say how long the epoch took, its validation included."""
        self._close()
        if self._enabled:
            elapsed = duration_in_words(time.monotonic() - self._started)
            say(f"  {self._title(trainer)}: {self._batches} batches in {elapsed}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show a bar for a validation."""
        self._close()
        self._open("validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Move the bar of the validation."""
        if self._bar is not None:
            self._bar.update()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar of the validation."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar before a message is printed."""
        self._close()

    def _title(self, trainer: pl.Trainer) -> str:
        stage = getattr(trainer.lightning_module, "stage", self.stage)
        return f"{stage}, epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"

    def _open(self, title: str, batches: float) -> None:
        total = int(batches) if math.isfinite(batches) else None  # a loader may not know its length
        shown = self._enabled and self.refresh_rate > 0
        self._bar = progress_bar(total=total, desc=title, unit="batch", leave=False, shown=shown)

    def _move(self, done: int) -> None:
        bar = self._bar
        if bar is not None and (done == bar.total or (self.refresh_rate and done % self.refresh_rate == 0)):
            bar.update(done - bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
