"""Faces of any number of prepared stores, as batches for training and validation."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch.utils.data import DataLoader

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.data.sampler import FaceSampler
from rim_lightning.data.stores.packed import open_store
from rim_lightning.datamodules.base import FaceLoading, LazyLoader
from rim_lightning.types import FaceBatch


class FaceDataModule(FaceLoading):
    """Trains on the train splits of all stores together, validates on their val splits, tests on their test splits.

    Args:
        stores: name -> directory of a prepared store. The order is that of the union.
        batch_size: faces per batch and process.
        workers: loader processes; 0 loads in the training process.
        augmentation: hr_size -> random views of the training faces, a partial of `FaceAugmentation`; None for none.
        shares: name -> share of each store in a training epoch; None takes every face once.
        samples_per_epoch: training faces of an epoch over all ranks, with `shares` only; None: as many as there are.
        eval_batch_size: faces per validation or test batch; None: `batch_size`.
        seed: order of the faces and their augmentation.
        schemes: landmark schemes every batch carries, NaN where a face lacks it; None: those of the stores.

    Raises:
        ValueError: shares name other stores than there are; in `train_dataloader`: not even one full batch of faces.
    """

    def __init__(
        self,
        stores: dict[str, str | Path],
        batch_size: int,
        workers: int = 0,
        augmentation: Callable[[int], FaceAugmentation] | None = None,
        shares: dict[str, float] | None = None,
        samples_per_epoch: int | None = None,
        eval_batch_size: int | None = None,
        seed: int = 0,
        schemes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(eval_batch_size or batch_size, workers)
        if shares is not None and set(shares) != set(stores):
            raise ValueError(f"shares are given for {sorted(shares)}, but the stores are {sorted(stores)}.")
        self.stores = {name: Path(directory) for name, directory in stores.items()}
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.shares = None if shares is None else [shares[name] for name in stores]
        self.samples_per_epoch = samples_per_epoch
        self.seed = seed
        self.schemes = schemes
        self._done = 0  # batches of the current epoch that an interrupted run has behind it

    def state_dict(self) -> dict[str, int]:
        """For checkpoints: how many batches of the epoch are done; 0 at its end."""
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"batches": progress.ready % self.trainer.num_training_batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Leave the batches out that are done."""
        self._done = state_dict["batches"]

    def setup(self, stage: str | None = None) -> None:
        """Open the stores: `train`, `val` and `test` are the unions of their splits."""
        opened = [open_store(directory) for directory in self.stores.values()]
        views = None if self.augmentation is None else self.augmentation(opened[0].hr_size)
        self.train = UnionDataset(
            # Sets of one union get different seeds: face 5 of each would be turned alike otherwise.
            [FaceDataset(store, "train", views, self.seed + number) for number, store in enumerate(opened)],
            self.schemes,
        )
        self.val = UnionDataset([FaceDataset(store, "val") for store in opened], self.schemes)
        self.test = UnionDataset([FaceDataset(store, "test") for store in opened], self.schemes)

    def people(self) -> int:
        """Number of different people of the stores; identities of training batches are below it."""
        return sum(len(open_store(directory).identities) for directory in self.stores.values())

    def train_dataloader(self) -> DataLoader[FaceBatch]:
        """Augmented training batches, all full; rank r's share of each global batch."""
        rank, world = self.place()
        sampler = FaceSampler(self.train.lengths, self.shares, self.samples_per_epoch, self.seed, rank, world)
        sampler.start, self._done = self._done * self.batch_size, 0
        loader = self.loader(self.train, self.batch_size, sampler, drop_last=True, kind=LazyLoader)
        if len(loader) == 0:
            raise ValueError(
                f"{len(self.train)} training faces are fewer than one batch of {self.batch_size} on each of {world} "
                "processes: lower data.batch_size or add faces."
            )
        return loader

    def val_dataloader(self) -> DataLoader[FaceBatch]:
        """Every validation face, see `evaluation_loader`."""
        return self.evaluation_loader(self.val)

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Every test face, see `evaluation_loader`."""
        return self.evaluation_loader(self.test)
