"""Thresholds for each size of the probe, chosen on people whom the model was not trained on."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional.degradation import synthesise_probe
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.networks.rim import RIM
from rim_lightning.types import NO_IDENTITY

SIZES = (7, 8, 10, 12, 14, 16, 20, 24, 28, 40, 56, 112)
FARS = (1e-1, 1e-2, 1e-3, 1e-4)


class Operating(NamedTuple):
    """Attributes: threshold: a similarity that is not below it is accepted. far, frr: false accept rate that the
    threshold was chosen for, false reject rate that it had on the people it was chosen on."""

    threshold: float
    far: float
    frr: float


class Calibration(NamedTuple):
    """What thresholds were chosen on, and the thresholds.

    Attributes:
        faces: what the people are called, for the card. digest: of the manifest of their prepared set.
        people, genuine, impostors: how many people, genuine and impostor pairs.
        sizes: sides of the probes in pixels, ascending. fars: false accept rates.
        points: [size][far]; None where fewer than ten impostor pairs would decide.
    """

    faces: str
    digest: str
    people: int
    genuine: int
    impostors: int
    sizes: tuple[int, ...]
    fars: tuple[float, ...]
    points: tuple[tuple[Operating | None, ...], ...]

    def at(self, size: float, far: float) -> Operating:
        """Threshold and false reject rate for a probe of that size: between two sizes, interpolated over log(size);
        beyond the last ones, theirs.

        Raises:
            ValueError: no threshold was chosen for that FAR, or too few impostor pairs could tell it.
        """
        known = [index for index, each in enumerate(self.fars) if math.isclose(each, far, rel_tol=1e-6)]
        if not known or any(row[known[0]] is None for row in self.points):
            usable = ", ".join(f"{each:g}" for each in self.usable_fars()) or "none, and calibrate it on more people"
            raise ValueError(f"The model has no thresholds for a FAR of {far:g}: choose from {usable}.")
        column = [row[known[0]] for row in self.points]
        above = next((i for i, each in enumerate(self.sizes) if each >= size), len(self.sizes) - 1)
        below = max(0, above - 1) if self.sizes[above] > size else above
        span = math.log(self.sizes[above] / self.sizes[below])
        share = 0.0 if span == 0 else math.log(min(size, self.sizes[above]) / self.sizes[below]) / span
        share = min(1.0, max(0.0, share))

        def between(low: float, high: float) -> float:
            return low + share * (high - low)

        first, second = column[below], column[above]
        return Operating(between(first.threshold, second.threshold), far, between(first.frr, second.frr))

    def usable_fars(self) -> list[float]:
        """False accept rates that every size has a threshold for."""
        return [far for index, far in enumerate(self.fars) if all(row[index] is not None for row in self.points)]

    def to_plain(self) -> dict[str, Any]:
        """Numbers, strings and lists, for a JSON file."""
        points = [[None if point is None else [point.threshold, point.frr] for point in row] for row in self.points]
        return self._asdict() | {"sizes": list(self.sizes), "fars": list(self.fars), "points": points}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Calibration":
        """What `to_plain` wrote; raises KeyError or TypeError for something else."""
        fars = tuple(plain["fars"])
        points = tuple(
            tuple(
                None if point is None else Operating(point[0], far, point[1])
                for point, far in zip(row, fars, strict=True)
            )
            for row in plain["points"]
        )
        return cls(**plain | {"sizes": tuple(plain["sizes"]), "fars": fars, "points": points})


@torch.no_grad()
def calibrate(
    rim: RIM,
    faces: FaceDataset,
    title: str,
    digest: str,
    sizes: Sequence[int] = SIZES,
    fars: Sequence[float] = FARS,
    batch_size: int = 64,
) -> Calibration:
    """Thresholds of all pairs of a sharp image and another image as probe.

    Args:
        faces: of known people, at least two with two images or more, whom nothing was trained on.
        title, digest: see `Calibration`. sizes: ascending; those above `rim.hr_size` are left out.

    Raises:
        ValueError: the faces have no pair of one person, or of two people.
    """
    from rim_lightning.evaluation import face_batches  # it brings the metrics, which a trained model does not need

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
            enlarged = synthesise_probe(sharp, torch.full((len(sharp),), size))
            probes[size].append(F.normalize(rim.embed_probe(enlarged).float()).cpu())
    if not gallery:
        raise ValueError(f"Thresholds are chosen on people, but no face of {title} has an identity.")
    people = torch.cat(identity)
    same = people[:, None] == people[None]
    pairs = ~torch.eye(len(people), dtype=torch.bool)
    same = same[pairs]
    if not same.any() or same.all():
        raise ValueError(f"{title} has no two images of one person, or only one person: thresholds need both.")
    points = []
    for size in sizes:
        scores = (torch.cat(gallery) @ torch.cat(probes[size]).T)[pairs]
        found = [tar_at_far(scores, same, far) for far in fars]
        points.append(
            tuple(None if f is None else Operating(f[1], far, 1 - f[0]) for f, far in zip(found, fars, strict=True))
        )
    counts = (int(len(people.unique())), int(same.sum()), int((~same).sum()))
    return Calibration(title, digest, *counts, tuple(sizes), tuple(fars), tuple(points))
