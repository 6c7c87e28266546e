"""A short training that a test can kill: `python -m tests.helpers.killable <store> <folder> <workers>`.

The same command resumes it.

Prints a line when training begins and leaves `end.pt`, the trained weights, in the folder.
"""

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.runs.signals import Interrupted
from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from rim_lightning.training.checkpoint_io import VerifiedCheckpointIO
from tests.integration.test_fit import FULL, module_of, trainer_of

EPOCHS = 3  # one of each stage, of eight batches


class Announce(pl.Callback):
    """Print where the training is, for the process that watches it."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        print(f"batch {trainer.current_epoch} {batch_idx}", flush=True)

    def on_validation_start(self, trainer, pl_module):
        print("validation", flush=True)


def data_module(store: str, workers: int = 0) -> FaceDataModule:
    return FaceDataModule(
        {"synthetic": store}, 2, workers, shares={"synthetic": 1.0}, samples_per_epoch=16, eval_batch_size=4
    )


def train(store: str, folder: str, workers: int = 0, **changes) -> None:
    """Train, or resume the training in a folder.

    Raises:
        Interrupted: If a signal asked it to stop.
    """
    torch.set_num_threads(1)
    last = LastCheckpoint(folder, minutes=0)
    module = module_of(FULL, "simultaneous", warmup=0.1, final=0.01)
    options = {"limit_val_batches": 1.0, "plugins": [VerifiedCheckpointIO()]} | changes
    trainer = trainer_of(folder, EPOCHS, [last, WarmedEMA(0.9), Announce()], **options)
    trainer.fit(
        module, data_module(store, workers), ckpt_path=last.path if last.path.exists() else None, weights_only=True
    )
    torch.save(module.state_dict(), Path(folder) / "end.pt")


if __name__ == "__main__":
    try:
        train(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except Interrupted as stop:
        print(stop)
        sys.exit(128 + stop.signum)
