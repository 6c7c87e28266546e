"""Embeddings of people whom the model was not trained on: what thresholds and weights are chosen on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset, UnionDataset, face_batches
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from rim_lightning.inference.calibration import PROBE_SIZES
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from rim_lightning.types import NO_IDENTITY

FaceSource = FaceDataset | UnionDataset
"""Faces of people, of one prepared set or of several."""

TEACHER_ALONE = SizeCurve((1,), (0,))
PARTS = ("probes", "teacher", "signals")
"""What is kept of the probes of each size, as `People` names it."""


class People(NamedTuple):
    """Embeddings of the N images that show a person with a name, all of length 1.

    Attributes:
        title: Name of the set of people, for the card.
        digest: SHA-256 of the manifest of the set.
        synthetic: True if the faces, or some of them, are synthetic.
        kind: How the probes were made.
        identity: (N,) number of the person.
        sharp: (N, E), of the sharp image.
        probes: Size in pixels -> (N, E), of the probe of that size.
        teacher: Size in pixels -> (N, E), of the teacher on the enlarged probe; empty if nobody asked for it.
        reduced: Size in pixels -> (N, E), of the sharp image reduced to that size; empty if nobody asked for it.
        has_sharp: (N,) bool, which images have a sharp face; None if all have.
        has_probe: Size in pixels -> (N,) bool, which images have a probe of that size; empty if all have. What lacks
            one has zeros in its place.
        not_acquired: Size in pixels -> share of the probes in which no usable face was found; empty if none was
            searched for, because the faces were aligned before.
        made: How the probes were made, in words; "" for those of `kind`.
        signals: Size in pixels -> (N, K), signals of the quality of the probes (`networks.probe_signals`); empty if
            they were not measured.
    """

    title: str
    digest: str
    synthetic: bool
    kind: ProbeKind
    identity: Tensor
    sharp: Tensor
    probes: dict[int, Tensor]
    teacher: dict[int, Tensor]
    reduced: Mapping[int, Tensor] = MappingProxyType({})
    has_sharp: Tensor | None = None
    has_probe: Mapping[int, Tensor] = MappingProxyType({})
    not_acquired: Mapping[int, float] = MappingProxyType({})
    made: str = ""
    signals: Mapping[int, Tensor] = MappingProxyType({})

    def usable(self, size: int) -> tuple[Tensor, Tensor]:
        """Return which images have a sharp face and which have a probe of a size, (N,) bool each."""
        every = torch.ones_like(self.identity, dtype=torch.bool)
        return every if self.has_sharp is None else self.has_sharp, self.has_probe.get(size, every)

    def mixed(self, mixture: SizeCurve) -> People:
        """Return the same people, the embeddings of their probes mixed with those of the teacher (`Usage.mixture`)."""
        weights = {size: float(mixture.at(torch.tensor([size]))) for size in self.probes}
        return self._replace(probes={size: self.mixed_probes(size, weight) for size, weight in weights.items()})

    def mixed_probes(self, size: int, weight: float) -> Tensor:
        """Return the embeddings of the probes of a size, (N, E), in which RIM has this weight."""
        return F.normalize(weight * self.probes[size] + (1 - weight) * self.teacher[size])


@torch.no_grad()
def embed_people(
    rim: RIM,
    faces: FaceSource,
    title: str,
    digest: str,
    sizes: Sequence[int] = PROBE_SIZES,
    kind: ProbeKind = CLEAN,
    looks: Usage | None = None,
    teacher: bool = False,
    batch_size: int = 64,
) -> People:
    """Embed the images of named people as they are, and as probes of each size.

    Args:
        rim: Trained network.
        faces: Faces, some of which show people with names.
        title: Name of the set of people.
        digest: SHA-256 of the manifest of the set.
        sizes: Sides of the probes in pixels, ascending. Those above `rim.hr_size` are skipped.
        kind: How the probes are made. The position of a face is the seed of its probes.
        looks: Usage whose looks are averaged, without its weights; None for one look.
        teacher: True to embed the probes by the teacher, too.
        batch_size: Number of faces that go through the network at a time.

    Returns:
        The embeddings, on the CPU.

    Raises:
        ValueError: If no face has an identity.
    """
    sizes = [size for size in sizes if size <= rim.hr_size]
    single = looks or Usage()
    reader = FaceEmbedder(rim, Usage(single.flip, single.shift))
    of_teacher = FaceEmbedder(rim, Usage(single.flip, single.shift, TEACHER_ALONE))
    identities: list[Tensor] = []
    sharp: list[Tensor] = []
    parts: dict[str, dict[int, list[Tensor]]] = {name: {size: [] for size in sizes} for name in PARTS}
    for images, identity, seeds in _named_images(rim, faces, title, batch_size):
        sharp.append(reader.gallery(images).cpu())
        identities.append(identity)
        for size in sizes:
            pixels = torch.full((len(images),), size)
            enlarged = seeded_probes(images, size, kind, seeds)
            embeddings, signals = reader.probe_with_signals(enlarged, pixels)
            for name, values in (("probes", embeddings), ("signals", signals)):
                parts[name][size].append(values.cpu())
            if teacher:
                parts["teacher"][size].append(of_teacher.probe(enlarged, pixels).cpu())
    if not sharp:
        raise ValueError(f"Thresholds are chosen on people, but no face of {title} has an identity.")
    by_size = {name: {size: torch.cat(blocks) for size, blocks in parts[name].items() if blocks} for name in parts}
    about = (title, digest, _is_synthetic(faces), kind, torch.cat(identities), torch.cat(sharp))
    return People(*about, by_size["probes"], by_size["teacher"], signals=by_size["signals"])


@torch.no_grad()
def with_reduced_gallery(people: People, rim: RIM, faces: FaceSource, usage: Usage, batch_size: int = 64) -> People:
    """Return the same people with the sharp images reduced to each size, as `verify` reduces gallery faces.

    Args:
        people: The people, their probes as the usage embeds them.
        rim: Trained network.
        faces: The same faces.
        usage: How the network is used.
        batch_size: Number of faces that go through the network at a time.

    Returns:
        The people.
    """
    if people.kind == CLEAN:
        return people._replace(reduced=people.probes)  # the same pixels
    embedder = FaceEmbedder(rim, usage)
    parts: dict[int, list[Tensor]] = {size: [] for size in people.probes}
    for images, _, _ in _named_images(rim, faces, people.title, batch_size):
        for size, blocks in parts.items():
            blocks.append(embedder.reduced_gallery(images, size).cpu())
    return people._replace(reduced={size: torch.cat(blocks) for size, blocks in parts.items()})


def _named_images(
    rim: RIM, faces: FaceSource, title: str, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Yield images that show a person with a name, (n, 3, S, S), their people (n,) on the CPU, and their seeds."""
    device = next(rim.parameters()).device
    for batch in face_batches(faces, batch_size, device, f"calibration on {title}"):
        has_identity = batch.identity != NO_IDENTITY
        if has_identity.any():
            yield batch.hr[has_identity], batch.identity[has_identity].cpu(), batch.index[has_identity].tolist()


def _is_synthetic(faces: FaceSource) -> bool:
    sets = faces.sets if isinstance(faces, UnionDataset) else (faces,)
    return any(part.store.synthetic for part in sets)


def similarity_change(people: People, other: People) -> float:
    """Return the largest difference between the similarities of two networks.

    Args:
        people: Embeddings by a network.
        other: Embeddings of the same images by another one.

    Returns:
        Largest absolute difference between the two cosines of a pair, over all pairs of a sharp face and a probe.
    """
    changes = [
        (people.sharp @ probes.T - other.sharp @ other.probes[size].T).abs().max()
        for size, probes in people.probes.items()
    ]
    return float(torch.stack(changes).max())
