"""What is measured: sets of faces to hallucinate, of pairs to verify, of people to identify."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.data.dataset import FaceDataset, UnionDataset, with_mirror_images
from rim_lightning.data.pairs import Pair, index_pairs, pseudo_genuine_pairs, sample_random_pairs
from rim_lightning.data.preparation import Alignment, prepare
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.readers.pack import read_pack
from rim_lightning.data.readers.pair_lists import read_annotated_pairs, read_pair_csv
from rim_lightning.data.readers.surveillance import read_scface, read_survface, read_tinyface, read_tinyface_aligned
from rim_lightning.data.stores.packed import open_store
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.data.views import View, moved_crop
from rim_lightning.files import real_path
from rim_lightning.functional.pairs import sample_balanced_pairs
from rim_lightning.types import NO_IDENTITY

PACK_SETTINGS = ("file", "pictures", "same")
"""Settings of a verification set in one file, see `packed_pairs`."""

FaceSource = FaceDataset | UnionDataset
"""Sharp aligned faces by position."""


class FaceSet(NamedTuple):
    """Faces to hallucinate.

    Attributes:
        title: Name for people.
        dataset: Sharp aligned faces.
        digest: Digest of the prepared store and of the sampling.
    """

    title: str
    dataset: FaceDataset
    digest: str


class PairSet(NamedTuple):
    """Pairs to verify.

    Attributes:
        title: Name for people.
        faces: The N images of the pairs, sharp and aligned.
        gallery: Positions of the gallery images in `faces`, (P,) int64.
        probe: Positions of the probe images in `faces`, (P,) int64.
        same: Which pairs are genuine, (P,) bool.
        fold: Fold of each pair, (P,) int64.
        names: Names of the images, N of them.
        identity: Person of each image, (N,) int64; None if the people are unknown.
        probes: The N images from which probes are made, if these are not `faces`.
        people: Names of the people, by the numbers of `identity`; empty if they are unknown.
    """

    title: str
    faces: FaceSource
    gallery: Tensor
    probe: Tensor
    same: Tensor
    fold: Tensor
    names: Sequence[str]
    identity: Tensor | None
    probes: FaceSource | None = None
    people: Sequence[str] = ()

    def listed(self) -> list[Pair]:
        """Return the pairs by the names of their images, for a file."""
        columns = (column.tolist() for column in (self.gallery, self.probe, self.same, self.fold))
        return [Pair(self.names[g], self.names[p], same, fold) for g, p, same, fold in zip(*columns, strict=True)]


class SearchSet(NamedTuple):
    """People to identify in a gallery.

    Attributes:
        title: Name for people.
        faces: The N images of gallery and probes, aligned.
        gallery: Positions of the gallery images in `faces`, (G,) int64.
        probe: Positions of the probe images in `faces`, (P,) int64.
        identity: Person of each image, (N,) int64.
        native: True if the probes are small from the start and are not reduced.
    """

    title: str
    faces: FaceDataset
    gallery: Tensor
    probe: Tensor
    identity: Tensor
    native: bool


def misaligned(faces: FaceSource, moves: Mapping[str, float] | str, size: int) -> FaceDataset:
    """Move each face at random, by its position. What comes into view is the margin of the prepared picture.

    Args:
        faces: Faces of one prepared store.
        moves: The largest "shift" and "scale" as shares of the side and the largest "rotation" in degrees, either way;
            or "detector": errors of the size of a detector's.
        size: Side of the probes in pixels, on which the errors of a detector depend.

    Raises:
        ValueError: If the faces are those of mirrored pairs.
    """
    if not isinstance(faces, FaceDataset):
        raise ValueError("Mirrored pairs cannot be moved: set detailed to listed, random or sampled pairs.")
    view: View
    if not isinstance(moves, Mapping):
        view = partial(moved_crop, size=faces.store.hr_size, probe_size=size)
        return FaceDataset(faces.store, faces.positions, view, schemes=faces.schemes)
    geometry = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0}
    colors = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "hue": 0.0, "photometric": 0.0}
    view = FaceAugmentation(faces.store.hr_size, **colors | geometry | dict(moves))
    return FaceDataset(faces.store, faces.positions, view, schemes=faces.schemes)


def face_set(store: str, title: str, split: str = "test", sample: int | None = None, seed: int = 0) -> FaceSet:
    """Take the faces of a split of a prepared store.

    Args:
        store: Folder of the prepared store.
        title: Name for people.
        split: Split of the store.
        sample: Number of faces to sample; None takes all.
        seed: Seed of the sampling.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If the split has no faces, or fewer than `sample`.
    """
    prepared_store = open_store(store)
    positions = prepared_store.select(split)
    if len(positions) < (sample or 1):
        raise ValueError(
            f"{store} has {len(positions)} faces in its {split} split, fewer than the {sample or 1} wanted."
        )
    if sample is not None:
        rows = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))[:sample].sort().values
        positions = positions[rows.numpy()]
    manifest = json.dumps(prepared_store.manifest, sort_keys=True).encode()
    digest = f"{hashlib.sha256(manifest).hexdigest()} {split} {sample} {seed}"
    return FaceSet(title, FaceDataset(prepared_store, positions), digest)


def listed_pairs(store: str, pairs: str, title: str, layout: str = "lfw", first_folds: int | None = None) -> PairSet:
    """Take the pairs of a list.

    Args:
        store: Folder of the prepared images.
        pairs: File of the list.
        title: Name for people.
        layout: Layout of the list: "lfw" (`read_pairs`), "annotated" (CALFW and CPLFW, `read_annotated_pairs`) or
            "csv" (`read_pair_csv`).
        first_folds: Number of folds that are taken, from the first one on; None takes all.

    Raises:
        FileNotFoundError: If there is no such store or list.
        ValueError: If the layout is unknown, the list is damaged, or it names an image that is not prepared.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'The list {pairs} has the layout "{layout}"; choose from {", ".join(LAYOUTS)}.')
    prepared_store = open_store(store)
    listed = LAYOUTS[layout](pairs, prepared_store.names)
    if first_folds is not None:
        folds = sorted({pair.fold for pair in listed})[:first_folds]
        listed = [pair for pair in listed if pair.fold in folds]
    return _of_list(prepared_store, listed, title)


def packed_pairs(
    file: str,
    title: str,
    prepared: str,
    hr_size: int,
    workers: int,
    pictures: Sequence[str] = ("image1", "image2"),
    same: str = "same",
) -> PairSet:
    """Take the pairs of a verification set in one file, see `read_pack`. Prepares its faces if they are not yet.

    Args:
        file: A `.bin` pack, or a Parquet file.
        title: Name for people.
        prepared: Folder of the prepared sets.
        hr_size: Side of the faces in pixels.
        workers: Processes that prepare images.
        pictures: Columns of pictures of a Parquet file.
        same: Column of labels of a Parquet file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else, or a face of a pair cannot be decoded.
    """
    records, pairs = read_pack(file, pictures, same)
    name = real_path(file).stem
    store = prepare(records, f"{prepared}/{name}_pack_{hr_size}", name=name, hr_size=hr_size, workers=workers)
    if len(store) < len(records):
        first = store.manifest["skipped"][0]
        raise ValueError(
            f"{file}: {len(records) - len(store)} faces cannot be used; the first is {first['name']}, which "
            f"{first['reason']}."
        )
    return _of_list(store, pairs, title)


def random_pairs(store: str, title: str, genuine: int, impostor: int, seed: int = 0) -> PairSet:
    """Sample pairs as the paper does: a person may be in several folds.

    Args:
        store: Folder of the prepared images.
        title: Name for people.
        genuine: Number of genuine pairs.
        impostor: Number of impostor pairs.
        seed: Seed of the sampling.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If the images form fewer pairs of a kind, see `sample_random_pairs`.
    """
    prepared_store = open_store(store)
    people = [
        None if number == NO_IDENTITY else prepared_store.identities[number]
        for number in prepared_store.identity.tolist()
    ]
    return _of_list(prepared_store, sample_random_pairs(people, prepared_store.names, genuine, impostor, seed), title)


def mirrored_pairs(store: str, title: str) -> PairSet:
    """Pair each test image of a set without identities with mirror images: its own, and that of another face.

    Args:
        store: Folder of the prepared images.
        title: Name for people.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If there are too few images, see `pseudo_genuine_pairs`.
    """
    faces = with_mirror_images(open_store(store), "test")
    photographs = faces.sets[0]
    pairs = pseudo_genuine_pairs(len(photographs), folds=10, seed=0)
    names = [photographs.store.names[position] for position in photographs.positions]
    names += [f"{name} mirrored" for name in names]
    gallery, probe, same, fold = (torch.from_numpy(column) for column in pairs)
    return PairSet(title, faces, gallery, probe, same, fold, names, None)


def sampled_pairs(store: str | Sequence[str], title: str, split: str, pairs: int, seed: int = 0) -> PairSet:
    """Sample pairs of the people of a split, who are disjoint between ten folds.

    Args:
        store: Folder of the prepared images, or several of them: their people are different people.
        title: Name for people.
        split: Split of the store.
        pairs: Number of genuine pairs, and of impostor pairs.
        seed: Seed of the sampling.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If there are too few people for two folds.
    """
    faces, names, identity, people = _known_faces([store] if isinstance(store, str) else store, split)
    gallery, probe, fold = sample_balanced_pairs(identity, pairs, 10, seed)
    if len(fold.unique()) < 2:
        raise ValueError(f"{store} has too few people in its {split} split for pairs in two folds.")
    same = identity[gallery] == identity[probe]
    return PairSet(title, faces, gallery, probe, same, fold, names, identity, people=people)


def everyone(store: str | Sequence[str], title: str, split: str) -> PairSet:
    """Take every face of the known people of a split, as gallery and as probe: for figures over ALL pairs.

    Args:
        store: Folder of the prepared images, or several of them: their people are different people.
        title: Name for people.
        split: Split of the stores.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If no face has an identity.
    """
    faces, names, identity, people = _known_faces([store] if isinstance(store, str) else store, split)
    known = (identity != NO_IDENTITY).nonzero().squeeze(1)
    if not len(known):
        raise ValueError(f"{store} has no people in its {split} split: all pairs need people.")
    same, fold = torch.ones_like(known, dtype=torch.bool), torch.zeros_like(known)
    return PairSet(title, faces, known, known, same, fold, names, identity, people=people)


def first_image_as_gallery(store: str, title: str, split: str = "test") -> SearchSet:
    """Split the images of a store: the first of each person is gallery, the others are probes.

    Args:
        store: Folder of the prepared images.
        title: Name for people.
        split: Split of the store.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If no person has a second image.
    """
    prepared_store = open_store(store)
    faces = FaceDataset(prepared_store, split)
    identity = torch.from_numpy(prepared_store.identity[faces.positions])
    is_first = torch.zeros(len(identity), dtype=torch.bool)
    people: set[int] = set()
    for position, person in enumerate(identity.tolist()):
        is_first[position] = person not in people
        people.add(person)
    is_known = identity != NO_IDENTITY
    probe = (is_known & ~is_first).nonzero().squeeze(1)
    if not len(probe):
        raise ValueError(
            f"{store} has one image of every person in its {split} split: identification needs a second one."
        )
    return SearchSet(title, faces, (is_known & is_first).nonzero().squeeze(1), probe, identity, native=False)


def surveillance(
    root: str, layout: str, title: str, prepared: str, hr_size: int, workers: int, alignment: Alignment = "five"
) -> SearchSet:
    """Take SCface, TinyFace or QMUL-SurvFace. Prepares the images if they are not prepared yet.

    Args:
        root: Folder of the set as published.
        layout: "scface", "tinyface", "tinyface_aligned" or "survface".
        title: Name for people.
        prepared: Folder of the prepared sets.
        hr_size: Side of the aligned faces in pixels.
        workers: Processes that prepare images.
        alignment: "five" aligns by the points of "tinyface_aligned", or else by those that a detector finds, and leaves
            out images without a face. "none" takes the center square, for crops that are too small for a detector.

    Raises:
        FileNotFoundError: If a folder of the layout is missing.
        ValueError: If the layout is unknown.
    """
    readers = {
        "scface": read_scface,
        "tinyface": read_tinyface,
        "tinyface_aligned": read_tinyface_aligned,
        "survface": read_survface,
    }
    if layout not in readers:
        raise ValueError(f'{title} has the layout "{layout}"; choose from {", ".join(readers)}.')
    images = readers[layout](root)
    target = f"{prepared}/{layout}_{hr_size}"
    store = prepare(images.records, target, name=layout, hr_size=hr_size, alignment=alignment, workers=workers)
    faces = FaceDataset(store, "test")
    position_of = {store.names[position]: number for number, position in enumerate(faces.positions)}
    gallery, probe = (
        torch.tensor([position_of[name] for name in side if name in position_of])
        for side in (images.gallery, images.probe)
    )
    return SearchSet(title, faces, gallery, probe, torch.from_numpy(store.identity[faces.positions]), native=True)


def _known_faces(stores: Sequence[str], split: str) -> tuple[FaceSource, list[str], Tensor, list[str]]:
    """Return the faces of a split of one or more stores, their names, their people (N,) and the people's names."""
    sets = [FaceDataset(open_store(store), split) for store in stores]
    union = UnionDataset(sets)
    names = [part.store.names[position] for part in sets for position in part.positions]
    people = [torch.from_numpy(part.store.identity[part.positions]) for part in sets]
    identity = torch.cat(
        [
            torch.where(own == NO_IDENTITY, own, own + first)
            for own, first in zip(people, union.first_identity, strict=False)
        ]
    )
    people_names = [name for part in sets for name in part.store.identities]
    return sets[0] if len(sets) == 1 else union, names, identity, people_names


def _of_list(store: PreparedStore, pairs: Sequence[Pair], title: str) -> PairSet:
    names, columns = index_pairs(pairs)
    faces = FaceDataset(store, [store.index_of(name) for name in names])
    identity = torch.from_numpy(store.identity[faces.positions])
    people = None if (identity == NO_IDENTITY).any() else identity
    gallery, probe, same, fold = (torch.from_numpy(column) for column in columns)
    known = () if people is None else store.identities
    return PairSet(title, faces, gallery, probe, same, fold, names, people, people=known)


LAYOUTS: dict[str, Callable[..., list[Pair]]] = {
    "lfw": read_pairs,
    "annotated": read_annotated_pairs,
    "csv": read_pair_csv,
}
PAIRS: dict[str, Callable[..., PairSet]] = {
    "listed": listed_pairs,
    "random": random_pairs,
    "mirrored": mirrored_pairs,
    "sampled": sampled_pairs,
    "everyone": everyone,
    "pack": packed_pairs,
}
