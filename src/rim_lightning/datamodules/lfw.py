"""LFW, or any other prepared faces with a list of verification pairs in LFW's format."""

from pathlib import Path

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.pairs import index_pairs
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.stores.packed import open_store
from rim_lightning.datamodules.pairs import PairsDataModule


class LFWDataModule(PairsDataModule):
    """The images that occur in the pairs of LFW's View 2, and the pairs.

    Args:
        store: directory of the prepared images; their names are those of the pairs.
        pairs_file: list of the pairs, e.g. `pairs.txt`.
        batch_size: images per batch.
        workers: loader processes.

    Raises (in `setup`):
        FileNotFoundError: there is no store, or no list.
        ValueError: the list is damaged, or names an image that was not prepared.
    """

    def __init__(self, store: str | Path, pairs_file: str | Path, batch_size: int, workers: int = 0) -> None:
        super().__init__(batch_size, workers)
        self.store = Path(store)
        self.pairs_file = Path(pairs_file)

    def setup(self, stage: str | None = None) -> None:
        """Read the pairs and open the images they name."""
        store = open_store(self.store)
        names, self.pairs = index_pairs(read_pairs(self.pairs_file, store.names))
        self.faces = FaceDataset(store, [store.index_of(name) for name in names])
