"""The choice of thresholds on people whom the model was not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset, UnionDataset, face_batches
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.inference.calibration import COUNTS, FARS, PROBE_SIZES, Calibration
from rim_lightning.networks.rim import RIM
from rim_lightning.types import NO_IDENTITY

FaceSource = FaceDataset | UnionDataset
"""Faces of people, of one prepared set or of several."""


class _People(NamedTuple):
    """Embeddings of the N images that show a person with a name.

    Attributes:
        identity: (N,) number of the person.
        sharp: (N, E), length 1, of the sharp image.
        probes: Size in pixels -> (N, E), length 1, of the image reduced to that size.
    """

    identity: Tensor
    sharp: Tensor
    probes: dict[int, Tensor]


@torch.no_grad()
def calibrate(
    rim: RIM,
    faces: FaceSource,
    title: str,
    digest: str,
    sizes: Sequence[int] = PROBE_SIZES,
    fars: Sequence[float] = FARS,
    counts: Sequence[int] = COUNTS,
    batch_size: int = 64,
    kind: ProbeKind = CLEAN,
) -> Calibration:
    """Choose thresholds on all pairs of a sharp image and another image as probe, and of templates of several images.

    A template of n images is an image and the n - 1 that follow it among those of its person. Templates that share an
    image make no pair.

    Args:
        rim: Trained network.
        faces: Faces of two or more people whom nothing was trained on, one of them with two or more images.
        title: Name of the set of people, for the card.
        digest: SHA-256 of the manifest of the set.
        sizes: Sides of the probes in pixels, ascending. Those above `rim.hr_size` are skipped.
        fars: False accept rates.
        counts: Numbers of images in a template: ascending, from 1. n is skipped if fewer than two people, or fewer
            than half of them, have 2n images.
        batch_size: Number of faces that go through the network at a time.
        kind: How the probes are made. The position of a face is the seed of its probes.

    Returns:
        The thresholds.

    Raises:
        ValueError: If the faces have no pair of one person, or no pair of two people.
    """
    sizes = [size for size in sizes if size <= rim.hr_size]
    people = _embed_people(rim, faces, title, sizes, batch_size, kind)
    images = people.identity.unique(return_counts=True)[1]  # (people,)
    counts = _usable_counts(images, counts)
    members = {count: _members(people.identity, count) for count in counts}
    thresholds = np.full((len(counts), len(counts), len(sizes), len(fars)), np.nan)
    frrs = thresholds.copy()
    for (i, probe_count), (j, gallery_count) in itertools.product(enumerate(counts), repeat=2):
        in_gallery, in_probe = members[gallery_count], members[probe_count]
        disjoint = in_gallery @ in_probe.T == 0  # (G, P): the templates share no image
        gallery_person = people.identity[in_gallery.argmax(1)]
        probe_person = people.identity[in_probe.argmax(1)]
        same = (gallery_person[:, None] == probe_person)[disjoint]  # (pairs,)
        if not same.any() or same.all():
            raise ValueError(f"{title} must show at least two people, one of them in two or more images.")
        if probe_count == gallery_count == 1:
            genuine, impostors = int(same.sum()), int((~same).sum())
        gallery = F.normalize(in_gallery @ people.sharp)  # (G, E)
        for k, size in enumerate(sizes):
            scores = (gallery @ F.normalize(in_probe @ people.probes[size]).T)[disjoint]  # (pairs,)
            for column, far in enumerate(fars):
                if (point := tar_at_far(scores, same, far)) is not None:
                    thresholds[i, j, k, column], frrs[i, j, k, column] = point[1], 1 - point[0]
    ranges = (tuple(counts), tuple(sizes), tuple(fars))
    described = (title, digest, len(images), genuine, impostors, *ranges)
    return Calibration(*described, thresholds, frrs, _is_synthetic(faces), kind.in_words())


def _usable_counts(images: Tensor, counts: Sequence[int]) -> list[int]:
    """Leave out the sizes of templates for which too few people have images, see `calibrate`."""
    min_people = max(2, len(images) / 2)
    return [count for count in counts if count == 1 or int((images >= 2 * count).sum()) >= min_people]


def _is_synthetic(faces: FaceSource) -> bool:
    sets = faces.sets if isinstance(faces, UnionDataset) else (faces,)
    return any(part.store.synthetic for part in sets)


@torch.no_grad()
def similarity_change(
    rim: RIM, other: RIM, faces: FaceSource, title: str, sizes: Sequence[int], batch_size: int = 64
) -> float:
    """Return the largest difference between the similarities of two networks.

    Args:
        rim: Trained network.
        other: The network to compare it with.
        faces: Faces of people.
        title: Name of the set of people.
        sizes: Sides of the probes in pixels.
        batch_size: Number of faces that go through a network at a time.

    Returns:
        Largest absolute difference between the two cosines of a pair, over all pairs of a sharp face and a probe.

    Raises:
        ValueError: If no face has an identity.
    """
    ours, theirs = (_embed_people(network, faces, title, sizes, batch_size) for network in (rim, other))
    changes = [(ours.sharp @ ours.probes[size].T - theirs.sharp @ theirs.probes[size].T).abs().max() for size in sizes]
    return float(torch.stack(changes).max())


def _embed_people(
    rim: RIM, faces: FaceSource, title: str, sizes: Sequence[int], batch_size: int, kind: ProbeKind = CLEAN
) -> _People:
    """Embed the images of named people as they are, and reduced to each size."""
    device = next(rim.parameters()).device
    identities: list[Tensor] = []
    sharp: list[Tensor] = []
    probes: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for batch in face_batches(faces, batch_size, device, f"calibration on {title}"):
        has_identity = batch.identity != NO_IDENTITY
        images = batch.hr[has_identity]  # (n, 3, S, S)
        if len(images) == 0:
            continue
        sharp.append(F.normalize(rim.embed_gallery(images).float()).cpu())
        identities.append(batch.identity[has_identity].cpu())
        seeds = batch.index[has_identity].tolist()
        for size in sizes:
            pixels = torch.full((len(images),), size)
            embeddings = rim.embed_probe(seeded_probes(images, size, kind, seeds), pixels)
            probes[size].append(F.normalize(embeddings.float()).cpu())
    if not sharp:
        raise ValueError(f"Thresholds are chosen on people, but no face of {title} has an identity.")
    probe_embeddings = {size: torch.cat(parts) for size, parts in probes.items()}
    return _People(torch.cat(identities), torch.cat(sharp), probe_embeddings)


def _members(people: Tensor, count: int) -> Tensor:
    """List the templates of `count` images of one person.

    Args:
        people: (N,) person of each image.
        count: Number of images in a template.

    Returns:
        (templates, N) float32: 1 where an image belongs to the template, else 0.
    """
    rows = []
    for person in people.unique():
        images = (people == person).nonzero().flatten()
        if len(images) < count:
            continue
        for start in range(len(images)):
            row = torch.zeros(len(people))
            row[images.roll(-start)[:count]] = 1
            rows.append(row)
    return torch.stack(rows)
