"""The choice of thresholds on people whom the model was not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.inference.calibration import COUNTS, FARS, PROBE_SIZES, Calibration
from rim_lightning.inference.people import FaceSource, People, embed_people
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import SizeCurve


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
    """Choose thresholds for a network that is used without averaged looks and mixture, see `thresholds_of`.

    Args:
        rim: Trained network.
        faces: Faces of two or more people whom nothing was trained on, one of them with two or more images.
        title: Name of the set of people, for the card.
        digest: SHA-256 of the manifest of the set.
        sizes: Sides of the probes in pixels, ascending. Those above `rim.hr_size` are skipped.
        fars: False accept rates.
        counts: Numbers of images in a template, see `thresholds_of`.
        batch_size: Number of faces that go through the network at a time.
        kind: How the probes are made. The position of a face is the seed of its probes.

    Returns:
        The thresholds.

    Raises:
        ValueError: If the faces have no pair of one person, or no pair of two people.
    """
    people = embed_people(rim, faces, title, digest, sizes, kind, batch_size=batch_size)
    return thresholds_of(people, fars, counts)


def thresholds_of(
    people: People,
    fars: Sequence[float] = FARS,
    counts: Sequence[int] = COUNTS,
    reduced_gallery: SizeCurve | None = None,
) -> Calibration:
    """Choose thresholds on all pairs of a sharp image and another image as probe, and of templates of several images.

    A template of n images is an image and the n - 1 that follow it among those of its person. Templates that share an
    image make no pair.

    Args:
        people: Embeddings of two or more people whom nothing was trained on, one of them with two or more images.
        fars: False accept rates.
        counts: Numbers of images in a template: ascending, from 1. n is skipped if fewer than two people, or fewer
            than half of them, have 2n images.
        reduced_gallery: See `Usage.reduced_gallery`; the people then have embeddings of reduced images.

    Returns:
        The thresholds.

    Raises:
        ValueError: If the people have no pair of one person, or no pair of two people.
    """
    images = people.identity.unique(return_counts=True)[1]  # (people,)
    counts = _usable_counts(images, counts)
    members = {count: _members(people.identity, count) for count in counts}
    thresholds = np.full((len(counts), len(counts), len(people.probes), len(fars)), np.nan)
    frrs = thresholds.copy()
    for (i, probe_count), (j, gallery_count) in itertools.product(enumerate(counts), repeat=2):
        in_gallery, in_probe = members[gallery_count], members[probe_count]
        disjoint = in_gallery @ in_probe.T == 0  # (G, P): the templates share no image
        gallery_person = people.identity[in_gallery.argmax(1)]
        probe_person = people.identity[in_probe.argmax(1)]
        same = (gallery_person[:, None] == probe_person)[disjoint]  # (pairs,)
        if not same.any() or same.all():
            raise ValueError(f"{people.title} must show at least two people, one of them in two or more images.")
        if probe_count == gallery_count == 1:
            genuine, impostors = int(same.sum()), int((~same).sum())
        for k, size in enumerate(people.probes):
            scores = _scores(people, size, in_gallery, in_probe, reduced_gallery)[disjoint]  # (pairs,)
            for column, far in enumerate(fars):
                if (point := tar_at_far(scores, same, far)) is not None:
                    thresholds[i, j, k, column], frrs[i, j, k, column] = point[1], 1 - point[0]
    ranges = (tuple(counts), tuple(people.probes), tuple(fars))
    about = (people.title, people.digest, len(images), genuine, impostors)
    return Calibration(*about, *ranges, thresholds, frrs, people.synthetic, people.kind.in_words())


def _usable_counts(images: Tensor, counts: Sequence[int]) -> list[int]:
    """Leave out the sizes of templates for which too few people have images, see `thresholds_of`."""
    min_people = max(2, len(images) / 2)
    return [count for count in counts if count == 1 or int((images >= 2 * count).sum()) >= min_people]


def _scores(
    people: People, size: int, in_gallery: Tensor, in_probe: Tensor, reduced_gallery: SizeCurve | None
) -> Tensor:
    """Return the scores of all templates of the gallery (G, N) with all of probes (P, N) of a size, (G, P)."""
    probe = F.normalize(in_probe @ people.probes[size])  # (P, E)
    scores = F.normalize(in_gallery @ people.sharp) @ probe.T
    if reduced_gallery is None:
        return scores
    weight = float(reduced_gallery.at(torch.tensor([size])))
    return (1 - weight) * scores + weight * (F.normalize(in_gallery @ people.reduced[size]) @ probe.T)


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
