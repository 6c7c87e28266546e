"""Verification pairs as a data module: every image once, and which of them are compared."""

from torch.utils.data import DataLoader, Dataset

from rim_lightning.data.pairs import PairIndex
from rim_lightning.datamodules.base import FaceLoading
from rim_lightning.types import FaceBatch


class PairsDataModule(FaceLoading):
    """Base of the data modules whose test images are those of a list of pairs.

    `setup` of a subclass sets both attributes. An image that occurs in many pairs is loaded and embedded once.

    Attributes:
        faces: Images of the pairs.
        pairs: Comparisons, as positions in `faces`.
    """

    faces: Dataset[FaceBatch]
    pairs: PairIndex

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Load every image of the pairs once; its `index` is the position that the pairs refer to."""
        return self.evaluation_loader(self.faces)
