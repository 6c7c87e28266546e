"""The faces and pairs that the tables are measured on."""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.data.dataset import FaceDataset, with_mirror_images
from rim_lightning.data.pairs import Pair, index_pairs, pseudo_genuine_pairs, sample_random_pairs
from rim_lightning.data.preparation import Alignment, prepare
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.readers.pair_lists import read_annotated_pairs, read_pair_csv
from rim_lightning.data.readers.surveillance import read_scface, read_tinyface
from rim_lightning.data.stores.packed import open_store
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.functional.pairs import sample_pairs
from rim_lightning.types import NO_IDENTITY, FaceBatch


class FaceSet(NamedTuple):
    """Faces to hallucinate. Attributes: title: for people. faces: sharp, aligned. digest: of the store and the draw."""

    title: str
    faces: FaceDataset
    digest: str


class PairSet(NamedTuple):
    """Pairs to verify.

    Attributes:
        title: for people. faces: the images of the pairs.
        gallery, probe: (P,) positions in `faces`. same: (P,) bool. fold: (P,) int.
        names: (N,) of the images. identity: (N,) their people, None where they are not known.
        probes: the images again, as probes are made of them; None: `faces`.
    """

    title: str
    faces: Dataset[FaceBatch]
    gallery: Tensor
    probe: Tensor
    same: Tensor
    fold: Tensor
    names: Sequence[str]
    identity: Tensor | None
    probes: Dataset[FaceBatch] | None = None

    def listed(self) -> list[Pair]:
        """The pairs by name, for a file."""
        columns = (column.tolist() for column in (self.gallery, self.probe, self.same, self.fold))
        return [Pair(self.names[g], self.names[p], same, fold) for g, p, same, fold in zip(*columns, strict=True)]


class SearchSet(NamedTuple):
    """People to identify in a gallery.

    Attributes:
        title: for people. faces: gallery and probes, aligned.
        gallery, probe: (G,) and (P,) positions in `faces`. identity: (N,) of all faces.
        native: the probes were small from the start and are not reduced.
    """

    title: str
    faces: FaceDataset
    gallery: Tensor
    probe: Tensor
    identity: Tensor
    native: bool


def misaligned(faces: FaceDataset, **amounts: float) -> FaceDataset:
    """The same faces, each moved at random, by its position: `shift` and `scale` up to that share of the side either
    way, `rotation` up to that many degrees. The margin of the prepared pictures comes into view, then their last
    pixels.

    Raises:
        ValueError: the faces are several sets, like those of mirrored pairs.
    """
    if not isinstance(faces, FaceDataset):
        raise ValueError("Mirrored pairs cannot be moved: set detailed to listed, random or sampled pairs.")
    nothing = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0, "photometric": 0.0}
    view = FaceAugmentation(faces.store.hr_size, **nothing | amounts)
    return FaceDataset(faces.store, faces.positions, view, schemes=faces.schemes)


def face_set(store: str, title: str, split: str = "test", sample: int | None = None, seed: int = 0) -> FaceSet:
    """The faces of a split of a prepared store, or `sample` of them by seed.

    Raises:
        FileNotFoundError, ValueError: no such store, no faces, or fewer than are to be drawn.
    """
    opened = open_store(store)
    positions = opened.select(split)
    if len(positions) < (sample or 1):
        raise ValueError(
            f"{store} has {len(positions)} faces in its {split} split, fewer than the {sample or 1} wanted."
        )
    if sample is not None:
        chosen = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))[:sample].sort().values
        positions = positions[chosen.numpy()]
    manifest = json.dumps(opened.manifest, sort_keys=True).encode()
    digest = f"{hashlib.sha256(manifest).hexdigest()} {split} {sample} {seed}"
    return FaceSet(title, FaceDataset(opened, positions), digest)


def listed_pairs(store: str, pairs: str, title: str, layout: str = "lfw") -> PairSet:
    """Pairs of a list.

    Args:
        layout: of the list: "lfw" (`read_pairs`), "annotated" (CALFW, CPLFW: `read_annotated_pairs`) or "csv"
            (`read_pair_csv`).

    Raises:
        FileNotFoundError, ValueError: no such store or list, an unknown layout, a damaged list, or an image of it that
            was not prepared.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'The list {pairs} has the layout "{layout}"; choose from {", ".join(LAYOUTS)}.')
    opened = open_store(store)
    return _of_list(opened, LAYOUTS[layout](pairs, opened.names), title)


def random_pairs(store: str, title: str, genuine: int, impostor: int, seed: int = 0) -> PairSet:
    """The paper's draw: pairs of any people by seed, who may be in several folds; raises as `sample_random_pairs`."""
    opened = open_store(store)
    people = [None if number == NO_IDENTITY else opened.identities[number] for number in opened.identity.tolist()]
    return _of_list(opened, sample_random_pairs(people, opened.names, genuine, impostor, seed), title)


def mirrored_pairs(store: str, title: str) -> PairSet:
    """Pseudo-genuine pairs of a set without identities; raises as `pseudo_genuine_pairs`."""
    faces = with_mirror_images(open_store(store), "test")
    own = faces.sets[0]
    pairs = pseudo_genuine_pairs(len(own), folds=10, seed=0)
    names = [own.store.names[position] for position in own.positions]
    names += [f"{name} mirrored" for name in names]
    return PairSet(title, faces, *(torch.from_numpy(column) for column in pairs), names, None)


def sampled_pairs(store: str, title: str, split: str, pairs: int, seed: int = 0) -> PairSet:
    """Genuine and impostor pairs of the people of a split, `pairs` of each, people disjoint between ten folds."""
    opened = open_store(store)
    faces = FaceDataset(opened, split)
    identity = torch.from_numpy(opened.identity[faces.positions])
    gallery, probe, fold = sample_pairs(identity, pairs, 10, seed)
    if len(fold.unique()) < 2:
        raise ValueError(f"{store} has too few people in its {split} split for pairs in two folds.")
    names = [opened.names[position] for position in faces.positions]
    return PairSet(title, faces, gallery, probe, identity[gallery] == identity[probe], fold, names, identity)


def one_each(store: str, title: str, split: str = "test") -> SearchSet:
    """The first image of every person is the gallery, the others are probes.

    Raises:
        ValueError: nobody has a second image.
    """
    opened = open_store(store)
    faces = FaceDataset(opened, split)
    identity = torch.from_numpy(opened.identity[faces.positions])
    seen: set[int] = set()
    first = torch.tensor([not (person in seen or seen.add(person)) for person in identity.tolist()])
    known = identity != NO_IDENTITY
    probe = (known & ~first).nonzero().squeeze(1)
    if not len(probe):
        raise ValueError(f"{store} has one image of every person in its {split} split: there is nobody to search for.")
    return SearchSet(title, faces, (known & first).nonzero().squeeze(1), probe, identity, native=False)


def surveillance(
    root: str, layout: str, title: str, prepared: str, hr_size: int, workers: int, alignment: Alignment = "five"
) -> SearchSet:
    """SCface ("scface") or TinyFace ("tinyface"), prepared where it is not yet.

    Args:
        alignment: "five": by the points that a detector finds; an image without a face is left out. "none": the center
            square, for crops too small for a detector.

    Raises:
        FileNotFoundError, ValueError: another layout of the folder, or an unknown name of one, in one sentence.
    """
    readers = {"scface": read_scface, "tinyface": read_tinyface}
    if layout not in readers:
        raise ValueError(f'{title} has the layout "{layout}"; choose from {", ".join(readers)}.')
    found = readers[layout](root)
    target = f"{prepared}/{layout}_{hr_size}"
    store = prepare(found.records, target, name=layout, hr_size=hr_size, alignment=alignment, workers=workers)
    faces = FaceDataset(store, "test")
    place = {store.names[position]: number for number, position in enumerate(faces.positions)}
    sides = [torch.tensor([place[name] for name in side if name in place]) for side in (found.gallery, found.probe)]
    return SearchSet(title, faces, *sides, torch.from_numpy(store.identity[faces.positions]), native=True)


def _of_list(store: PreparedStore, pairs: Sequence[Pair], title: str) -> PairSet:
    names, columns = index_pairs(pairs)
    faces = FaceDataset(store, [store.index_of(name) for name in names])
    identity = torch.from_numpy(store.identity[faces.positions])
    known = None if (identity == NO_IDENTITY).any() else identity
    return PairSet(title, faces, *(torch.from_numpy(column) for column in columns), names, known)


LAYOUTS = {"lfw": read_pairs, "annotated": read_annotated_pairs, "csv": read_pair_csv}
PAIRS = {"listed": listed_pairs, "random": random_pairs, "mirrored": mirrored_pairs, "sampled": sampled_pairs}
