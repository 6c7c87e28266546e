"""The paper's verification on Helen, which has no identities: each photograph against mirror images."""

from pathlib import Path

from rim_lightning.data.dataset import with_mirror_images
from rim_lightning.data.pairs import pseudo_genuine_pairs
from rim_lightning.data.stores.packed import open_store
from rim_lightning.datamodules.pairs import PairsDataModule


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
        self.faces = with_mirror_images(store, "test")
        self.pairs = pseudo_genuine_pairs(len(self.faces) // 2, self.folds, self.seed)
