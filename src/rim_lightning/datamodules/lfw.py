"""LFW, or any other prepared faces with a list of verification pairs in the format of LFW."""

from pathlib import Path

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.pairs import index_pairs
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.stores.packed import open_store
from rim_lightning.datamodules.pairs import PairsDataModule


class LFWDataModule(PairsDataModule):
    """Images that occur in the pairs of LFW's View 2, and the pairs.

    Args:
        store: Directory of the prepared images; their names are those of the pairs.
        pairs_file: List of the pairs, for example `pairs.txt`.
        batch_size: Images per batch.
        workers: Loader processes; 0 loads in the process that uses the batches.
    """

    def __init__(self, store: str | Path, pairs_file: str | Path, batch_size: int, workers: int = 0) -> None:
        super().__init__(batch_size, workers)
        self.store = Path(store)
        self.pairs_file = Path(pairs_file)

    def setup(self, stage: str | None = None) -> None:
        """Read the pairs and open the images they name.

        Raises:
            FileNotFoundError: If the store or the list is missing.
            ValueError: If the list is damaged, or names an image that was not prepared.
        """
        store = open_store(self.store)
        names, self.pairs = index_pairs(read_pairs(self.pairs_file, store.names))
        self.faces = FaceDataset(store, [store.index_of(name) for name in names])
