"""The teacher's embeddings of all training faces, for the contrastive loss."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.distributed import gather_batch
from rim_lightning.files import file_digest, real_path, whole_file
from rim_lightning.functional.precision import full_precision
from rim_lightning.kept_arrays import read_kept
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.runs.progress import progress_bar, say
from rim_lightning.types import FaceBatch

FOLDER = "teacher_embeddings"
"""Folder of the kept embeddings, beside the prepared stores."""


@torch.no_grad()
def fill_bank(
    loss: ContrastiveLoss, teacher: nn.Module, embed: Callable[[Tensor], Tensor], trainer: pl.Trainer
) -> None:
    """Fill the bank of a contrastive loss with the teacher's embeddings of the training faces, not augmented.

    Every process embeds its share of the faces, and all get all of them. They are kept in a file beside the first
    store, by the weights of the teacher and the faces, and read from it by the next run and by a resumed one.

    Args:
        loss: The loss.
        teacher: The frozen teacher.
        embed: Embeds faces by it, (B, 3, S, S) -> (B, E).
        trainer: Trainer that is about to train on a `FaceDataModule`.

    Raises:
        ValueError: If the trainer has other data.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it without declaring it
    if not isinstance(data, FaceDataModule):
        raise ValueError("The contrastive term needs the training faces of a FaceDataModule: fit the module with one.")
    file = _kept_file(data, teacher)
    kept = _read(file, len(data.train))
    if trainer.strategy.reduce_boolean_decision(kept is not None) and kept is not None:
        device = trainer.strategy.root_device
        loss.fill(*(values.to(device) for values in kept))
        return
    embedding, identity = _embed_faces(data, embed, trainer)
    loss.fill(embedding, identity)
    if trainer.is_global_zero:
        _write(file, embedding, identity)


def _embed_faces(data: FaceDataModule, embed: Callable[[Tensor], Tensor], trainer: pl.Trainer) -> tuple[Tensor, Tensor]:
    """Return embeddings (N, E) and people (N,) of the training faces, by their position in the data set."""
    shares: list[tuple[Tensor, Tensor, Tensor]] = []
    loader = data.center_crop_loader()
    for loaded in progress_bar(loader, shown=trainer.is_global_zero, desc="the teacher's embeddings", leave=False):
        batch: FaceBatch = trainer.strategy.batch_to_device(loaded)
        shares.append((embed(batch.hr), batch.identity, batch.index))
    embedding, identity, index = (gather_batch(torch.cat(parts)) for parts in zip(*shares, strict=True))
    # With several processes a few faces come twice; each lands in its own row.
    rows = torch.zeros(len(data.train), dtype=torch.int64, device=index.device)
    rows[index] = torch.arange(len(index), device=index.device)
    return embedding[rows], identity[rows]


def _kept_file(data: FaceDataModule, teacher: nn.Module) -> Path:
    """Return the file of these embeddings: its name holds the digest of the teacher's weights and of the faces."""
    digest = hashlib.sha256(f"{teacher} {teacher.input_size}".encode())
    for name, value in teacher.state_dict().items():
        digest.update(f"{name} {value.dtype}".encode() + value.double().cpu().numpy().tobytes())
    for store, part in zip(data.stores.values(), data.train.sets, strict=True):
        digest.update(file_digest(store / MANIFEST).encode())
        digest.update(np.asarray(part.positions, dtype=np.int64).tobytes())
    folder = real_path(next(iter(data.stores.values()))).parent / FOLDER
    return folder / f"{digest.hexdigest()[:16]}.npz"


def _read(file: Path, faces: int) -> tuple[Tensor, Tensor] | None:
    """Return embeddings and people of a file; None if there is none, or if it is not that of so many faces."""
    kept = read_kept(file)
    embedding, identity = kept.get("embedding"), kept.get("identity")
    if embedding is None or identity is None or embedding.ndim != 2 or identity.shape != (faces,):
        return None
    fits = embedding.dtype == np.float32 and identity.dtype == np.int64 and len(embedding) == faces
    return (torch.from_numpy(embedding), torch.from_numpy(identity)) if fits and np.isfinite(embedding).all() else None


def _write(file: Path, embedding: Tensor, identity: Tensor) -> None:
    """Keep embeddings and people. Without room for them, or the right to write, the next run computes them again."""
    try:
        file.parent.mkdir(exist_ok=True)
        with whole_file(file) as part, open(part, "wb") as stream:
            np.savez(stream, embedding=full_precision(embedding).cpu().numpy(), identity=identity.cpu().numpy())
    except OSError as error:
        say(f"The teacher's embeddings of the training faces are not kept for later runs: {error}")
