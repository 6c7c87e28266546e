"""The faces and pairs that the tables are measured on."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.packed import open_store
from rim_lightning.datamodules.helen import HelenDataModule
from rim_lightning.datamodules.lfw import LFWDataModule
from rim_lightning.metrics.verification import draw_pairs
from rim_lightning.types import FaceBatch


class FaceSet(NamedTuple):
    """Faces to hallucinate. Attributes: title: for people. faces: sharp, aligned. digest: of the store and the draw."""

    title: str
    faces: FaceDataset
    digest: str


class PairSet(NamedTuple):
    """Pairs to verify.

    Attributes:
        title: for people. faces: the images of the pairs.
        gallery, probe: (P,) positions in `faces`. same: (P,) bool. fold: (P,) int.
        probes: the images again, as probes are made of them; None: `faces`.
    """

    title: str
    faces: Dataset[FaceBatch]
    gallery: Tensor
    probe: Tensor
    same: Tensor
    fold: Tensor
    probes: Dataset[FaceBatch] | None = None


def misaligned(faces: FaceDataset, **amounts: float) -> FaceDataset:
    """The same faces, each moved at random, by its position: `shift` and `scale` up to that share of the side either
    way, `rotation` up to that many degrees. The margin of the prepared pictures comes into view, then their last
    pixels."""
    nothing = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0, "photometric": 0.0}
    view = FaceAugmentation(faces.store.hr_size, **nothing | amounts)
    return FaceDataset(faces.store, faces.positions, view, schemes=faces.schemes)


def face_set(store: str, title: str, split: str = "test", draw: int | None = None, seed: int = 0) -> FaceSet:
    """The faces of a split of a prepared store, or `draw` of them by seed.

    Raises:
        FileNotFoundError, ValueError: no such store, no faces, or fewer than are to be drawn.
    """
    opened = open_store(store)
    positions = opened.select(split)
    if len(positions) < (draw or 1):
        raise ValueError(f"{store} has {len(positions)} faces in its {split} split, fewer than the {draw or 1} wanted.")
    if draw is not None:
        chosen = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))[:draw].sort().values
        positions = positions[chosen.numpy()]
    return FaceSet(title, FaceDataset(opened, positions), f"{opened.manifest['source_hash']} {split} {draw} {seed}")


def listed_pairs(store: str, pairs: str, title: str) -> PairSet:
    """Pairs of a list in LFW's format; raises FileNotFoundError and ValueError as `LFWDataModule`."""
    data = LFWDataModule(store, pairs, batch_size=1)
    data.setup()
    return PairSet(title, data.faces, *(torch.from_numpy(column) for column in data.pairs))


def mirrored_pairs(store: str, title: str) -> PairSet:
    """Pseudo-genuine pairs of a set without identities; raises as `HelenDataModule`."""
    data = HelenDataModule(store, batch_size=1)
    data.setup()
    return PairSet(title, data.faces, *(torch.from_numpy(column) for column in data.pairs))


def drawn_pairs(store: str, title: str, split: str, pairs: int, seed: int = 0) -> PairSet:
    """Genuine and impostor pairs of the people of a split, `pairs` of each, people disjoint between ten folds."""
    opened = open_store(store)
    faces = FaceDataset(opened, split)
    identity = torch.from_numpy(opened.identity[faces.positions])
    gallery, probe, fold = draw_pairs(identity, pairs, 10, seed)
    if len(fold.unique()) < 2:
        raise ValueError(f"{store} has too few people in its {split} split for pairs in two folds.")
    return PairSet(title, faces, gallery, probe, identity[gallery] == identity[probe], fold)


PAIRS = {"listed": listed_pairs, "mirrored": mirrored_pairs, "drawn": drawn_pairs}
