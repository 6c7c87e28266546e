"""Faces of any number of prepared stores, as batches for training and validation."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.data.sampler import FaceSampler
from rim_lightning.data.stores.packed import open_store
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.data.views import View
from rim_lightning.datamodules.base import FaceLoading, TrainingLoader
from rim_lightning.types import NO_IDENTITY, FaceBatch


def whole_people(store: PreparedStore, split: str, limit: int | None) -> NDArray[np.int64]:
    """Sample people of a split with all their faces, by seed 0.

    Args:
        store: A prepared store.
        split: Split of the store.
        limit: Most faces; None takes all. A face without an identity is a person of its own.

    Returns:
        Positions of the faces in the store, ascending.

    Raises:
        ValueError: If every person has more faces than the limit.
    """
    positions = store.select(split)
    if limit is None or len(positions) <= limit:
        return positions
    identity = store.identity[positions].astype(np.int64)
    person = np.where(identity == NO_IDENTITY, -1 - np.arange(len(positions)), identity)
    people = np.unique(person)
    chosen: list[NDArray[np.int64]] = []
    for number in np.random.default_rng(0).permutation(people):
        faces = positions[person == number]
        if len(faces) <= limit:
            chosen.append(faces)
            limit -= len(faces)
    if not chosen:
        raise ValueError(
            f"validation_faces is {limit}, but every person in the part {split} of {store.path} has more faces: raise "
            "it."
        )
    return np.sort(np.concatenate(chosen))


class FaceDataModule(FaceLoading):
    """Trains on the train splits of all stores together, validates on their val splits, tests on their test splits.

    Args:
        stores: Name -> directory of a prepared store. The order is that of the union.
        batch_size: Faces per batch and process.
        workers: Loader processes; 0 loads in the training process.
        augmentation: Function from the HR size to a random view of the training faces, for example a partial of
            `FaceAugmentation`; None trains on the center crops.
        shares: Name -> share of each store in a training epoch; None takes every face once.
        samples_per_epoch: Training faces of an epoch over all ranks, only with `shares`; None takes as many as there
            are.
        eval_batch_size: Faces per validation or test batch and process; None takes `batch_size`.
        seed: Seed of the order of the faces and of their augmentation.
        schemes: Landmark schemes of every batch, NaN where a face lacks one; None takes those of the stores.
        validation_faces: Most validation faces of each store: people sampled by seed 0, with all their faces. None
            takes all faces.

    Raises:
        ValueError: If `shares` and `stores` do not name the same stores.
    """

    def __init__(
        self,
        stores: dict[str, str | Path],
        batch_size: int,
        workers: int = 0,
        augmentation: Callable[[int], View] | None = None,
        shares: dict[str, float] | None = None,
        samples_per_epoch: int | None = None,
        eval_batch_size: int | None = None,
        seed: int = 0,
        schemes: Sequence[str] | None = None,
        validation_faces: int | None = None,
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
        self.validation_faces = validation_faces
        self._finished_batches = 0  # of the current epoch, by the run that this one resumes

    def state_dict(self) -> dict[str, int]:
        """Return the number of finished batches of the epoch for a checkpoint; 0 at the end of an epoch."""
        assert self.trainer is not None  # only a trainer saves checkpoints
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"batches": progress.ready % int(self.trainer.num_training_batches)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Skip the batches that are finished."""
        self._finished_batches = state_dict["batches"]

    def setup(self, stage: str | None = None) -> None:
        """Open the stores: `train`, `val` and `test` are the unions of their splits."""
        stores = [open_store(directory) for directory in self.stores.values()]
        view = None if self.augmentation is None else self.augmentation(stores[0].hr_size)
        self.train = UnionDataset(
            # Sets of one union get different seeds: face 5 of each would be turned alike otherwise.
            [FaceDataset(store, "train", view, self.seed + number) for number, store in enumerate(stores)],
            self.schemes,
        )
        self.val = UnionDataset(
            [FaceDataset(store, whole_people(store, "val", self.validation_faces)) for store in stores], self.schemes
        )
        self.test = UnionDataset([FaceDataset(store, "test") for store in stores], self.schemes)

    def people(self) -> int:
        """Return the number of different people in the stores; identities of training batches are smaller."""
        return sum(len(open_store(directory).identities) for directory in self.stores.values())

    def train_dataloader(self) -> TrainingLoader:
        """Load full, augmented training batches: this rank's share of each global batch.

        Raises:
            ValueError: If there is not a full batch of faces for every process.
        """
        rank, world = self.place()
        sampler = FaceSampler(self.train.lengths, self.shares, self.samples_per_epoch, self.seed, rank, world)
        sampler.start, self._finished_batches = self._finished_batches * self.batch_size, 0
        loader = self.training_loader(self.train, self.batch_size, sampler)
        if len(loader) == 0:
            raise ValueError(
                f"{len(self.train)} training faces are fewer than one batch of {self.batch_size} on each of {world} "
                "processes: lower data.batch_size or add faces."
            )
        return loader

    def center_crop_loader(self) -> DataLoader[FaceBatch]:
        """Load every training face once and in order, without augmentation, shared out between the ranks.

        The `index` of a face is that of the training batches.
        """
        crops = UnionDataset([FaceDataset(part.store, part.positions) for part in self.train.sets], self.schemes)
        return self.evaluation_loader(crops)

    def val_dataloader(self) -> DataLoader[FaceBatch]:
        """Load every validation face, see `evaluation_loader`."""
        return self.evaluation_loader(self.val)

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Load every test face, see `evaluation_loader`."""
        return self.evaluation_loader(self.test)
