"""The teacher's embeddings of all training faces, for the contrastive loss."""

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.distributed import gather_batch
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.runs.progress import progress_bar
from rim_lightning.types import FaceBatch


@torch.no_grad()
def fill_bank(loss: ContrastiveLoss, embed: Callable[[Tensor], Tensor], trainer: pl.Trainer) -> None:
    """Fill the bank of a contrastive loss with the teacher's embeddings of the training faces, not augmented.

    Every process embeds its share of the faces, and all get all of them.

    Args:
        loss: The loss.
        embed: The frozen teacher, faces (B, 3, S, S) -> embeddings (B, E).
        trainer: Trainer that is about to train on a `FaceDataModule`.

    Raises:
        ValueError: If the trainer has other data.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it without declaring it
    if not isinstance(data, FaceDataModule):
        raise ValueError("The contrastive term needs the training faces of a FaceDataModule: fit the module with one.")
    shares: list[tuple[Tensor, Tensor, Tensor]] = []
    loader = data.center_crop_loader()
    for loaded in progress_bar(loader, shown=trainer.is_global_zero, desc="the teacher's embeddings", leave=False):
        batch: FaceBatch = trainer.strategy.batch_to_device(loaded)
        shares.append((embed(batch.hr), batch.identity, batch.index))
    embedding, identity, index = (gather_batch(torch.cat(parts)) for parts in zip(*shares, strict=True))
    # With several processes a few faces come twice; each lands in its own row.
    rows = torch.zeros(len(data.train), dtype=torch.int64, device=index.device)
    rows[index] = torch.arange(len(index), device=index.device)
    loss.fill(embedding[rows], identity[rows])
