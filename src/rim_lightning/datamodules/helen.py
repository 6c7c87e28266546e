"""The paper's verification on Helen, which has no identities: each photograph against mirror images."""

from functools import partial
from pathlib import Path

import numpy as np

from rim_lightning.data.augmentation import Face, Points, centre_crop, flip_face
from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.data.packed import open_store
from rim_lightning.datamodules.pairs import PairIndex, PairsDataModule


class HelenDataModule(PairsDataModule):
    """Pseudo-genuine pairs (a photograph and its own mirror image) and impostor pairs (the mirror image of another).

    With n test photographs, image i is photograph i and image n + i its mirror image: n pseudo-genuine pairs and as
    many impostors, both photographs of an impostor pair in one fold. A pseudo-genuine pair shows one moment of one
    person: it is easier than any pair of a real verification protocol.

    Args:
        store: directory of the prepared photographs.
        batch_size: images per batch.
        workers: loader processes.
        folds: folds of the cross-validation.
        seed: which impostors are compared.

    Raises (in `setup`):
        FileNotFoundError: there is no store.
        ValueError: a fold would hold less than two photographs.
    """

    def __init__(self, store: str | Path, batch_size: int, workers: int = 0, folds: int = 10, seed: int = 0) -> None:
        super().__init__(batch_size, workers)
        self.store = Path(store)
        self.folds = folds
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Open the photographs, as they are and mirrored, and draw the pairs."""
        store = open_store(self.store)
        mirrored = FaceDataset(store, "test", partial(_mirror_image, size=store.hr_size))
        self.faces = UnionDataset([FaceDataset(store, "test"), mirrored])
        self.pairs = pseudo_genuine_pairs(len(self.faces) // 2, self.folds, self.seed)


def _mirror_image(image: np.ndarray, parsing: np.ndarray | None, points: Points, seed: int, size: int) -> Face:
    return centre_crop(*flip_face(image, parsing, points), size)


def pseudo_genuine_pairs(photographs: int, folds: int, seed: int) -> PairIndex:
    """Each of n photographs against its own mirror image, position n + i, and against that of another of its fold.

    Raises ValueError where a fold would hold less than two photographs.
    """
    if photographs < 2 * folds:
        raise ValueError(f"{photographs} test photographs are too few for {folds} folds: each needs at least two.")
    gallery = np.arange(photographs)
    fold = gallery % folds
    other = np.empty_like(gallery)
    rng = np.random.default_rng(seed)
    for number in range(folds):
        members = rng.permutation(gallery[fold == number])
        other[members] = np.roll(members, 1)
    return PairIndex(
        gallery=np.tile(gallery, 2),
        probe=np.concatenate([gallery, other]) + photographs,
        same=np.repeat([True, False], photographs),
        fold=np.tile(fold, 2),
    )
