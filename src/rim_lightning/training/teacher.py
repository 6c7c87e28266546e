"""Train a recognition network from scratch on any set of people, for a teacher of one's own."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.functional.resize import reduce
from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.types import FaceBatch, to_unit


class TeacherModule(pl.LightningModule):
    """Backbone -> embedding -> margin softmax on sharp faces; AdamW with a one-cycle schedule.

    Batches are `FaceBatch`es whose `identity` counts the training people from 0; samples without one are left out.
    Logged: train/loss, train/accuracy, and of the validation people val/accuracy and the other figures of
    `IdentityVerification`, sharp face against sharp face. `networks.teacher_weights.save_backbone` stores the result.

    Args:
        backbone: the network to train.
        margin: its loss, built for the backbone's embedding size and the number of training people.
        learning_rate: the peak of the cycle.
        weight_decay: of weights; slopes, biases and norms have none.
        verification: figures of merit on the validation people.
    """

    def __init__(
        self,
        backbone: Backbone,
        margin: MarginSoftmax,
        verification: IdentityVerification,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.margin = margin
        self.verification = verification
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def forward(self, hr: Tensor) -> Tensor:
        """hr: (B, 3, H, W), RGB, uint8 or float in [-1, 1], any size -> embedding (B, E), NOT normalized."""
        image = hr if hr.is_floating_point() else to_unit(hr)
        size = self.backbone.input_size
        if image.shape[-2:] != (size, size):
            image = reduce(image, size, quantize=False)
        return self.backbone(image)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        terms = self.margin(self(batch.hr), batch.identity)
        for name, value in terms.items():
            # The mean over ranks is the global figure; a rank's own is its share of it.
            self.log(f"train/{name}", value, prog_bar=True, batch_size=len(batch.hr), sync_dist=True)
        return terms["loss"]

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        embedding = self(batch.hr)
        self.verification.update(embedding, embedding, batch.identity, batch.index)

    def on_validation_epoch_end(self) -> None:
        figures = self.verification.compute()
        self.log_dict({f"val/{name}": value for name, value in figures.items()})
        self.verification.reset()

    def configure_optimizers(self) -> dict:
        weights = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError("A one-cycle schedule needs to know its length: set max_epochs or max_steps.")
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_teacher(
    data: FaceDataModule,
    backbone: Mapping[str, Any],
    path: Path,
    epochs: int,
    learning_rate: float,
    kind: str,
    margin: float,
    scale: float,
    accelerator: str,
    verification_pairs: int,
) -> dict[str, float]:
    """Train `build_backbone(**backbone)` on the sharp training faces of `data` and save it at `path`.

    Args:
        epochs: passes over the training faces. learning_rate: peak of the one-cycle schedule.
        kind, margin, scale: see `MarginSoftmax`.
        accelerator: as Lightning's Trainer takes it. verification_pairs: genuine, and impostor, pairs.

    Returns:
        the logged figures of the last epoch, "val/accuracy" (sharp against sharp, validation people) among them.

    Raises:
        ValueError: the data have no identities.
    """
    data.prepare_data()
    data.setup()
    people = data.people()
    if not people:
        raise ValueError(
            "A teacher is trained on people, but the data have no identities: give teacher.weights instead."
        )
    arguments = dict(backbone)
    name = arguments.pop("name")
    network = build_backbone(name, **arguments)
    module = TeacherModule(
        network,
        MarginSoftmax(network.embedding_size, people, kind, margin, scale),
        IdentityVerification(pairs=verification_pairs, seed=0),
        learning_rate,
    )
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        check_val_every_n_epoch=epochs,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    save_backbone(path, network, name, arguments)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}
