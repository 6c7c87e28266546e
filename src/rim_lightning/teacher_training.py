"""A small teacher trained from scratch on the people of a data module, for sets that have no pretrained one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from rim_lightning.datamodules.union import FaceDataModule
from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.backbones import build_backbone
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.teacher_module import TeacherModule


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
