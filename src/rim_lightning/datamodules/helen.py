"""The paper's verification on Helen, which has no identities: each photograph against mirror images."""

from pathlib import Path

from rim_lightning.data.dataset import with_mirror_images
from rim_lightning.data.pairs import pseudo_genuine_pairs
from rim_lightning.data.stores.packed import open_store
from rim_lightning.datamodules.pairs import PairsDataModule


class HelenDataModule(PairsDataModule):
    """Pseudo-genuine pairs (a photograph and its own mirror image) and impostor pairs (the mirror image of another).

    With n test photographs, image i is photograph i and image n + i its mirror image. There are n pseudo-genuine pairs
    and n impostor pairs; both photographs of an impostor pair are in one fold. A pseudo-genuine pair shows one moment
    of one person: it is easier than any pair of a real verification protocol.

    Args:
        store: Directory of the prepared photographs.
        batch_size: Images per batch.
        workers: Loader processes; 0 loads in the process that uses the batches.
        folds: Folds of the cross-validation.
        seed: Seed that chooses the impostor pairs.
    """

    def __init__(self, store: str | Path, batch_size: int, workers: int = 0, folds: int = 10, seed: int = 0) -> None:
        super().__init__(batch_size, workers)
        self.store = Path(store)
        self.folds = folds
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Open the photographs, as they are and mirrored, and sample the pairs.

        Raises:
            FileNotFoundError: If there is no store.
            ValueError: If a fold would hold fewer than two photographs.
        """
        self.faces = with_mirror_images(open_store(self.store), "test")
        self.pairs = pseudo_genuine_pairs(len(self.faces) // 2, self.folds, self.seed)
