"""Training of a teacher of one's own: a recognition network from random weights, on any set of people."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.functional.resize import reduce
from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.training.callbacks.progress import StageProgress
from rim_lightning.types import FaceBatch, to_unit


class TeacherModule(pl.LightningModule):
    """Trains a backbone with a margin softmax on sharp faces, by AdamW with a one-cycle schedule.

    Batches are `FaceBatch`es whose `identity` counts the training people from 0; faces without one are left out.
    Logged are train/loss and train/accuracy, and val/accuracy with the other figures of `IdentityVerification` for
    sharp against sharp faces of the validation people.

    Args:
        backbone: The network to train.
        margin: Its loss, built for the backbone's embedding size and the number of training people.
        verification: Figures of the validation people.
        learning_rate: Largest rate of the cycle.
        weight_decay: Weight decay of weights; slopes, biases and norms have none.
    """

    def __init__(
        self,
        backbone: Backbone,
        margin: MarginSoftmax,
        verification: IdentityVerification,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.margin = margin
        self.verification = verification
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def forward(self, hr: Tensor) -> Tensor:
        """Embed faces.

        Args:
            hr: Faces of any size, (B, 3, H, W), RGB, uint8 or float in [-1, 1].

        Returns:
            Embeddings, (B, E), not normalized.
        """
        image = hr if hr.is_floating_point() else to_unit(hr)
        size = self.backbone.input_size
        if image.shape[-2:] != (size, size):
            image = reduce(image, size, quantize=False)
        return self.backbone(image)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        terms = self.margin(self(batch.hr), batch.identity)
        for name, value in terms.items():
            # The mean over ranks is the global figure; a rank's own is its share of it.
            self.log(f"train/{name}", value, prog_bar=True, batch_size=len(batch.hr), sync_dist=True)
        return terms["loss"]

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Embed the validation people."""
        embedding = self(batch.hr)
        self.verification.update(embedding, embedding, batch.identity, batch.index)

    def on_validation_epoch_end(self) -> None:
        """Log and reset the figures."""
        figures = self.verification.compute()
        self.log_dict({f"val/{name}": value for name, value in figures.items()})
        self.verification.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer and its one-cycle schedule."""
        weights = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError("A one-cycle schedule needs to know its length: set max_epochs or max_steps.")
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_teacher(  # noqa: PLR0913 - one argument over: they are the keys of conf/teacher
    data: FaceDataModule,
    backbone: Mapping[str, Any],
    path: Path,
    epochs: int,
    learning_rate: float,
    kind: Literal["arcface", "cosface", "softmax"],
    margin: float,
    scale: float,
    weight_decay: float,
    accelerator: str,
    verification_pairs: int,
    seed: int,
    fast_dev_run: bool | int = False,
) -> dict[str, float]:
    """Train a recognition network on the sharp training faces and save it.

    The result does not depend on what was drawn from torch's global generator before.

    Args:
        data: Faces with identities.
        backbone: {"name": ..., arguments of that backbone}.
        path: File to write, see `save_backbone`.
        epochs: Number of passes over the training faces.
        learning_rate: Largest rate of the one-cycle schedule.
        kind: See `MarginSoftmax`.
        margin: See `MarginSoftmax`.
        scale: See `MarginSoftmax`.
        weight_decay: See `TeacherModule`.
        accelerator: Accelerator of Lightning's Trainer.
        verification_pairs: Number of genuine pairs, and of impostor pairs, of the validation people.
        seed: Seed of the weights.
        fast_dev_run: True, or a number of batches: run only those, see Lightning's Trainer.

    Returns:
        The logged figures of the last epoch. "val/accuracy" is that of sharp against sharp faces.

    Raises:
        ValueError: If the data have no identities.
    """
    people = _count_people(data)
    pl.seed_everything(seed, workers=True, verbose=False)
    network, loss = build_teacher(backbone, people, kind, margin, scale)
    verification = IdentityVerification(pairs=verification_pairs, seed=0)
    trainer = _trainer(accelerator, epochs, fast_dev_run)
    trainer.fit(TeacherModule(network, loss, verification, learning_rate, weight_decay), data)
    arguments = dict(backbone)
    save_backbone(path, network, arguments.pop("name"), arguments)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def build_teacher(
    backbone: Mapping[str, Any],
    people: int,
    kind: Literal["arcface", "cosface", "softmax"],
    margin: float,
    scale: float,
) -> tuple[Backbone, MarginSoftmax]:
    """Build a teacher without weights, and its loss.

    Args:
        backbone: {"name": ..., arguments of that backbone}.
        people: Number of training people.
        kind: See `MarginSoftmax`.
        margin: See `MarginSoftmax`.
        scale: See `MarginSoftmax`.

    Raises:
        ValueError: If the backbone has no embedding, or a setting of the loss is wrong.
    """
    network = build_backbone(**backbone)
    if network.embedding_size is None:
        raise ValueError(
            f"The backbone {backbone['name']} has no embedding, which a teacher needs: set its embedding_size."
        )
    return network, MarginSoftmax(network.embedding_size, people, kind, margin, scale)


def _trainer(accelerator: str, epochs: int, fast_dev_run: bool | int) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        check_val_every_n_epoch=epochs,
        fast_dev_run=fast_dev_run,
        num_sanity_val_steps=0,
        callbacks=[StageProgress(refresh_rate=1, stage="teacher")],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def _count_people(data: FaceDataModule) -> int:
    data.prepare_data()
    data.setup()
    people = data.people()
    if not people:
        raise ValueError(
            "A teacher is trained on people, but the data have no identities: give teacher.weights instead."
        )
    return people
