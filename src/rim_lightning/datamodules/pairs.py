"""Verification pairs as a data module: every image once, and which of them are compared."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from rim_lightning.datamodules.loading import FaceLoading
from rim_lightning.types import FaceBatch


class PairIndex(NamedTuple):
    """P comparisons by position: of the images of one data set, the `index` of their `FaceBatch`.

    Attributes:
        gallery, probe: (P,) int64 positions.
        same: (P,) bool, genuine or impostor.
        fold: (P,) int64 fold of the cross-validation, from 0.
    """

    gallery: np.ndarray
    probe: np.ndarray
    same: np.ndarray
    fold: np.ndarray


class PairsDataModule(FaceLoading):
    """Base of the data modules whose test images are those of a list of pairs.

    `setup` of a subclass sets `faces`, the data set of the images, and `pairs`. An image that occurs in many pairs is
    loaded and embedded once.
    """

    faces: Dataset[FaceBatch]
    pairs: PairIndex

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Every image of the pairs once; its `index` is the position the pairs refer to."""
        return self.evaluation_loader(self.faces)


def index_pairs(pairs: Sequence[tuple[str, str, bool, int]]) -> tuple[list[str], PairIndex]:
    """Sorted names of the images in (gallery, probe, same, fold) pairs, and the pairs as positions among them."""
    names = sorted({name for gallery, probe, _, _ in pairs for name in (gallery, probe)})
    position = {name: number for number, name in enumerate(names)}
    return names, PairIndex(
        np.array([position[gallery] for gallery, _, _, _ in pairs], dtype=np.int64),
        np.array([position[probe] for _, probe, _, _ in pairs], dtype=np.int64),
        np.array([same for _, _, same, _ in pairs], dtype=bool),
        np.array([fold for _, _, _, fold in pairs], dtype=np.int64),
    )
