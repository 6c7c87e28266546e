"""Verification pairs as a data module: every image once, and which of them are compared."""

from torch.utils.data import DataLoader, Dataset

from rim_lightning.data.pairs import PairIndex
from rim_lightning.datamodules.base import FaceLoading
from rim_lightning.types import FaceBatch


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
