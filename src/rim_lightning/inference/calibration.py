"""Thresholds for each size of the probe, chosen on people whom the model was not trained on."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.networks.rim import RIM
from rim_lightning.types import NO_IDENTITY

SIZES = (7, 8, 10, 12, 14, 16, 20, 24, 28, 40, 56, 112)
FARS = (1e-1, 1e-2, 1e-3, 1e-4)
COUNTS = (1, 2, 4)


class Operating(NamedTuple):
    """Attributes: threshold: a similarity that is not below it is accepted. far, frr: false accept rate that the
    threshold was chosen for, false reject rate that it had on the people it was chosen on.
    """

    threshold: float
    far: float
    frr: float


class Calibration(NamedTuple):
    """What thresholds were chosen on, and the thresholds.

    Attributes:
        faces: what the people are called, for the card. digest: of the manifest of their prepared set.
        people, genuine, impostors: how many people, genuine and impostor pairs of single pictures.
        counts: of the pictures that are pooled into one template, from 1, ascending.
        sizes: sides of the probes in pixels, ascending. fars: false accept rates.
        points: [count of probes][count of gallery pictures][size][far]; None where fewer than ten impostor pairs would
            decide.
    """

    faces: str
    digest: str
    people: int
    genuine: int
    impostors: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    fars: tuple[float, ...]
    points: tuple[tuple[tuple[tuple[Operating | None, ...], ...], ...], ...]

    def at(self, size: float, far: float, probes: int = 1, gallery: int = 1) -> Operating:
        """Threshold and false reject rate for a probe of that size: between two sizes or counts, interpolated over
        their logarithm; beyond the last ones, theirs.

        Args:
            size: pixels. probes, gallery: how many pictures are pooled into the template of either side.

        Raises:
            ValueError: no threshold was chosen for that FAR, or too few impostor pairs could tell it.

        Example:
            >>> sizes = ((Operating(0.2, 1e-3, 0.5),), (Operating(0.4, 1e-3, 0.1),))  # 8 and 32 px
            >>> chosen = Calibration("made up", "", 2, 9, 9, (1,), sizes=(8, 32), fars=(1e-3,), points=((sizes,),))
            >>> round(chosen.at(size=16, far=1e-3).threshold, 3)  # log 16 lies half way between log 8 and log 32
            0.3
        """
        known = [index for index, each in enumerate(self.fars) if each in self.usable_fars() and _close(each, far)]
        if not known:
            usable = ", ".join(f"{each:g}" for each in self.usable_fars()) or "none, and calibrate it on more people"
            raise ValueError(f"The model has no thresholds for a FAR of {far:g}: choose from {usable}.")
        threshold = frr = 0.0
        corners = (_between(self.counts, probes), _between(self.counts, gallery), _between(self.sizes, size))
        for (i, a), (j, b), (k, c) in itertools.product(*corners):
            point = self.points[i][j][k][known[0]]
            threshold += a * b * c * point.threshold
            frr += a * b * c * point.frr
        return Operating(threshold, far, frr)

    def usable_fars(self) -> list[float]:
        """False accept rates that every size and count has a threshold for."""
        rows = [row for side in self.points for sizes in side for row in sizes]
        return [far for index, far in enumerate(self.fars) if all(row[index] is not None for row in rows)]

    def to_plain(self) -> dict[str, Any]:
        """Numbers, strings and lists, for a JSON file."""
        points = [
            [[[point and [point.threshold, point.frr] for point in row] for row in sizes] for sizes in side]
            for side in self.points
        ]
        ranges = {name: list(getattr(self, name)) for name in ("counts", "sizes", "fars")}
        return self._asdict() | ranges | {"points": points}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Calibration":
        """What `to_plain` wrote; raises KeyError or TypeError for something else."""
        fars = plain["fars"]

        def read(row: list[list[float] | None]) -> tuple[Operating | None, ...]:
            return tuple(point and Operating(point[0], far, point[1]) for point, far in zip(row, fars, strict=True))

        points = tuple(tuple(tuple(map(read, sizes)) for sizes in side) for side in plain["points"])
        ranges = {name: tuple(plain[name]) for name in ("counts", "sizes", "fars")}
        return cls(**plain | ranges | {"points": points})


@torch.no_grad()
def calibrate(
    rim: RIM,
    faces: FaceDataset,
    title: str,
    digest: str,
    sizes: Sequence[int] = SIZES,
    fars: Sequence[float] = FARS,
    counts: Sequence[int] = COUNTS,
    batch_size: int = 64,
) -> Calibration:
    """Thresholds of all pairs of a sharp image and another image as probe, and of templates of several images.

    The templates of n images are each image with the n - 1 that follow it among those of its person; templates that
    have an image in common make no pair.

    Args:
        faces: of known people, at least two with two images or more, whom nothing was trained on.
        title, digest: see `Calibration`. sizes: ascending; those above `rim.hr_size` are left out.
        counts: from 1, ascending; n is left out where fewer than two people, or half of them, have 2n images.

    Raises:
        ValueError: the faces have no pair of one person, or of two people.
    """
    from rim_lightning.data.dataset import face_batches  # it brings the metrics, which a trained model does not need

    device = next(rim.parameters()).device
    sizes = [size for size in sizes if size <= rim.hr_size]
    gallery, identity, probes = [], [], {size: [] for size in sizes}
    for batch in face_batches(faces, batch_size, device, f"calibration on {title}"):
        known = batch.identity != NO_IDENTITY
        sharp = batch.hr[known]
        if len(sharp) == 0:
            continue
        gallery.append(F.normalize(rim.embed_gallery(sharp).float()).cpu())
        identity.append(batch.identity[known].cpu())
        for size in sizes:
            enlarged = synthesize_probe(sharp, torch.full((len(sharp),), size))
            probes[size].append(F.normalize(rim.embed_probe(enlarged).float()).cpu())
    if not gallery:
        raise ValueError(f"Thresholds are chosen on people, but no face of {title} has an identity.")
    people = torch.cat(identity)
    sharp = torch.cat(gallery)
    small = {size: torch.cat(found) for size, found in probes.items()}
    images = people.unique(return_counts=True)[1]
    enough = max(2, len(images) / 2)
    counts = [count for count in counts if count == 1 or int((images >= 2 * count).sum()) >= enough]
    members = {count: _members(people, count) for count in counts}
    points = []
    for of_probe, of_gallery in itertools.product(counts, counts):
        a, b = members[of_gallery], members[of_probe]
        apart = a @ b.T == 0
        same = (people[a.argmax(1)][:, None] == people[b.argmax(1)])[apart]
        if not same.any() or same.all():
            raise ValueError(f"{title} has no two images of one person, or only one person: thresholds need both.")
        if of_probe == of_gallery == 1:
            pairs = (int(same.sum()), int((~same).sum()))
        template = F.normalize(a @ sharp)
        rows = []
        for size in sizes:
            scores = (template @ F.normalize(b @ small[size]).T)[apart]
            found = [tar_at_far(scores, same, far) for far in fars]
            rows.append(tuple(f and Operating(f[1], far, 1 - f[0]) for f, far in zip(found, fars, strict=True)))
        points.append(tuple(rows))
    table = tuple(tuple(points[i : i + len(counts)]) for i in range(0, len(points), len(counts)))
    return Calibration(
        title, digest, len(images), *pairs, counts=tuple(counts), sizes=tuple(sizes), fars=tuple(fars), points=table
    )


def _members(people: Tensor, count: int) -> Tensor:
    """People (N,) -> (M, N), 1 where an image belongs to a template of `count` images of one person, else 0."""
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


def _between(known: Sequence[float], value: float) -> list[tuple[int, float]]:
    """(index, weight) of the one or two known values, ascending, that a value lies between over the logarithm."""
    value = min(max(value, known[0]), known[-1])
    above = next(index for index, each in enumerate(known) if each >= value)
    if known[above] == value:
        return [(above, 1.0)]
    share = math.log(value / known[above - 1]) / math.log(known[above] / known[above - 1])
    return [(above - 1, 1 - share), (above, share)]


def _close(far: float, other: float) -> bool:
    return math.isclose(far, other, rel_tol=1e-6)
