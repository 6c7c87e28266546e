"""Prepared stores as data sets of `FaceBatch` items, and their union."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, default_collate

from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.data.views import View, center_crop, mirrored_crop
from rim_lightning.runs.progress import progress_bar
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.types import NO_IDENTITY, UNLABELED, FaceBatch, to_unit


class FaceKey(NamedTuple):
    """What is drawn from a data set.

    Attributes:
        position: Position of the face in the data set.
        epoch: Number of the epoch.
        repetition: How often the face was drawn before in this epoch.
    """

    position: int
    epoch: int = 0
    repetition: int = 0


class FaceDataset(Dataset[FaceBatch]):
    """Faces of one prepared store, or of a part of it, as unbatched `FaceBatch` items.

    An item is requested by a `FaceKey`, as `FaceSampler` does, or by its position alone. The view of a face is a
    function of the seed and the key alone, so that a run can be repeated and resumed with any number of workers and
    ranks, and every draw of a face is another view.

    Args:
        store: A prepared store.
        split: "train", "val" or "test"; or the positions (n,) in the store that this data set consists of.
        augmentation: Random view of HR size, for example a `FaceAugmentation`; None takes the center crop of the stored
            pictures.
        seed: Seed of the views.
        schemes: Landmark schemes of every item, NaN where the store lacks one; None takes those of the store.
    """

    def __init__(
        self,
        store: PreparedStore,
        split: str | Sequence[int] | NDArray[np.int64],
        augmentation: View | None = None,
        seed: int = 0,
        schemes: Sequence[str] | None = None,
    ) -> None:
        self.store = store
        self.positions = np.asarray(store.select(split) if isinstance(split, str) else split, dtype=np.int64)
        self.augmentation = augmentation
        self.seed = seed
        self.schemes = tuple(store.landmarks if schemes is None else schemes)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, key: int | FaceKey) -> FaceBatch:
        """Load one face.

        Args:
            key: Position in this data set, or what is drawn from it.

        Returns:
            hr (3, H, W) uint8, landmarks scheme name -> (N, 2) float32, parsing (H, W) uint8, and identity and index as
            scalars.

        Raises:
            IndexError: If there is no such position.
        """
        index, epoch, repetition = FaceKey(*key) if isinstance(key, tuple) else FaceKey(key)
        if not 0 <= index < len(self):
            raise IndexError(f"There is no face {index}: the data set has {len(self)}.")
        position = int(self.positions[index])
        size = self.store.hr_size
        image = np.asarray(self.store.images[position])
        parsing = None if self.store.parsing is None else np.asarray(self.store.parsing[position])
        points = {
            scheme: np.asarray(self.store.landmarks[scheme][position], dtype=np.float32)
            for scheme in self.schemes
            if scheme in self.store.landmarks
        }
        if self.augmentation is None:
            image, parsing, points = center_crop(image, parsing, points, size)
        else:
            drawn = (self.seed, epoch, position, repetition) if repetition else (self.seed, epoch, position)
            view = np.random.SeedSequence(drawn).generate_state(1)[0]
            image, parsing, points = self.augmentation(image, parsing, points, int(view))
        if parsing is None:
            parsing = np.full((size, size), UNLABELED, dtype=np.uint8)
        landmarks = {
            scheme: points.get(scheme, np.full((LANDMARK_SCHEMES[scheme].points, 2), np.nan, dtype=np.float32))
            for scheme in self.schemes
        }
        return FaceBatch(
            hr=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),  # (H, W, 3) -> (3, H, W)
            landmarks={scheme: torch.from_numpy(np.ascontiguousarray(xy)) for scheme, xy in landmarks.items()},
            parsing=torch.from_numpy(np.ascontiguousarray(parsing)),
            identity=torch.tensor(int(self.store.identity[position])),
            index=torch.tensor(index),
        )


class UnionDataset(Dataset[FaceBatch]):
    """Several `FaceDataset`s of one HR size as one, for training on whatever labels each of them has.

    People of different sets are different people: their identities are shifted apart, and `NO_IDENTITY` stays. The
    `index` of a face is its position in the union.

    Args:
        sets: One or more data sets.
        schemes: Landmark schemes of every item, NaN where its set lacks one; None takes every scheme of any set.

    Raises:
        ValueError: If there is no set, or their HR sizes differ.
    """

    def __init__(self, sets: Sequence[FaceDataset], schemes: Sequence[str] | None = None) -> None:
        if not sets:
            raise ValueError("A union needs at least one data set.")
        sizes = {str(part.store.path): part.store.hr_size for part in sets}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"The stores of a union must have one hr_size, found {sizes}: prepare them again alike.")
        all_schemes = dict.fromkeys(scheme for part in sets for scheme in part.schemes)  # a set in order
        self.schemes = tuple(all_schemes if schemes is None else schemes)
        self.sets = tuple(
            FaceDataset(part.store, part.positions, part.augmentation, part.seed, self.schemes) for part in sets
        )
        self.lengths = tuple(len(part) for part in sets)
        self.starts = tuple(accumulate(self.lengths, initial=0))
        self.first_identity = tuple(accumulate((len(part.store.identities) for part in sets), initial=0))

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, key: int | FaceKey) -> FaceBatch:
        """Load one face.

        Args:
            key: Position in the union, or what is drawn from it.

        Returns:
            The face, see `FaceDataset`.

        Raises:
            IndexError: If there is no such position.
        """
        index, epoch, repetition = FaceKey(*key) if isinstance(key, tuple) else FaceKey(key)
        if not 0 <= index < len(self):
            raise IndexError(f"There is no face {index}: the union has {len(self)}.")
        number = int(np.searchsorted(self.starts, index, side="right")) - 1  # of the set
        face = self.sets[number][FaceKey(index - self.starts[number], epoch, repetition)]
        has_identity = face.identity != NO_IDENTITY
        return face._replace(
            identity=torch.where(has_identity, face.identity + self.first_identity[number], face.identity),
            index=torch.tensor(index),
        )


def with_mirror_images(store: PreparedStore, split: str) -> UnionDataset:
    """Join the n faces of a split with their mirror images.

    Args:
        store: A prepared store.
        split: "train", "val" or "test".

    Returns:
        2n faces: face i is photograph i, face n + i its mirror image.
    """
    mirrored = FaceDataset(store, split, partial(mirrored_crop, size=store.hr_size))
    return UnionDataset([FaceDataset(store, split), mirrored])


def collate(faces: list[FaceBatch]) -> FaceBatch:
    """Stack B unbatched items to one `FaceBatch`. In a worker process its tensors are written to shared memory."""
    return default_collate(faces)


def face_batches(faces: Dataset[FaceBatch], batch_size: int, device: torch.device, title: str) -> Iterable[FaceBatch]:
    """Yield batches of the faces in order, on the device, and show a progress bar.

    Args:
        faces: Faces of one size.
        batch_size: Faces per batch.
        device: Device of the batches.
        title: Title of the progress bar.

    Yields:
        Batches whose images are float32 in [-1, 1].
    """
    loader = DataLoader(faces, batch_size, collate_fn=collate)
    for batch in progress_bar(loader, desc=title, leave=False):
        on_device = FaceBatch(
            batch.hr.to(device),
            {scheme: points.to(device) for scheme, points in batch.landmarks.items()},
            batch.parsing.to(device),
            batch.identity.to(device),
            batch.index.to(device),
        )
        yield on_device._replace(hr=to_unit(on_device.hr))
