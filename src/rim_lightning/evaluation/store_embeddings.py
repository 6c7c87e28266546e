"""Embeddings of a prepared store by any network: sharp faces for the gallery, and probes that are made of them."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.readers.files import excerpt
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.evaluation.embedding_files import EmbeddedFaces
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, digest_seed, picture_digest, seeded_probes
from rim_lightning.networks.usage import FaceEmbedder
from rim_lightning.runs.progress import progress_bar
from rim_lightning.types import NO_IDENTITY, to_unit

BATCH = 32
SMALLEST_PROBE = 7
"""Least side of a probe in pixels."""

Embed = Callable[[Tensor], Tensor]
"""Faces (B, 3, S, S), RGB in [-1, 1] on the 8-bit grid -> embeddings (B, E) of any length."""


Sizes = Callable[[Tensor], Tensor]
"""Enlarged probes (B, 3, S, S), RGB in [-1, 1] -> their sides in pixels before, (B,)."""


class Reader(NamedTuple):
    """A network that reads the faces of a store.

    Attributes:
        gallery: Embeds sharp faces.
        probe: Embeds probes that were enlarged back; the same function if the network makes no difference.
        file: Where it comes from, for messages.
        side: Side in pixels to which the network reduces the faces of the store; None if it takes them as they are.
    """

    gallery: Embed
    probe: Embed
    file: Path
    side: int | None = None


class StoreProbes(NamedTuple):
    """The probes that are made of the faces of a store.

    Attributes:
        size: Side in pixels.
        kind: How they are made. The pixels of a picture are its seed, as in rim-compare.
    """

    size: int
    kind: ProbeKind = CLEAN

    def check(self, store: PreparedStore) -> None:
        """Raise ValueError if the faces of a store have no probes of this size."""
        if not SMALLEST_PROBE <= self.size <= store.hr_size:
            raise ValueError(
                f"The probes have {self.size} px; give {SMALLEST_PROBE} to {store.hr_size}, the side of the faces."
            )


def rim_reader(embedder: FaceEmbedder, file: Path, store: PreparedStore, sizes: int | Sizes) -> Reader:
    """Let a trained RIM read a store as `rim verify` reads pictures.

    Args:
        embedder: The network as it is used.
        file: Where it comes from, for messages.
        store: The store.
        sizes: Side of the probes in pixels, or a function that estimates it from each of them.

    Returns:
        The reader. If the model also looks at the gallery face reduced to the size of the probe
        (`Usage.reduced_gallery`), the cosine of its embeddings is that weighted mean of two cosines.

    Raises:
        ValueError: If the faces of the store are not those that the network takes; or if the model looks twice at the
            gallery, and the probes differ in size.
    """
    hr_size = embedder.rim.hr_size
    if store.hr_size != hr_size:
        raise ValueError(
            f"{file} takes faces of {hr_size} px, {store.path} holds faces of {store.hr_size} px: prepare them with "
            f"hr_size={hr_size}."
        )
    curve = embedder.usage.reduced_gallery
    if not isinstance(sizes, int):
        if curve is not None:
            raise ValueError(
                f"{file} looks once more at each gallery picture, reduced to the size of the probe: give --probe-size."
            )
        return Reader(embedder.gallery, lambda enlarged: embedder.probe(enlarged, sizes(enlarged)), file)
    if curve is None:
        return Reader(embedder.gallery, lambda enlarged: embedder.probe(enlarged, _alike(enlarged, sizes)), file)
    weight = float(curve.at(torch.tensor([sizes])))

    def probe(enlarged: Tensor) -> Tensor:
        return F.pad(embedder.probe(enlarged, _alike(enlarged, sizes)), (0, 1))

    def gallery(faces: Tensor) -> Tensor:
        both = (1 - weight) * embedder.gallery(faces) + weight * embedder.reduced_gallery(faces, sizes)
        rest = (1 - both.square().sum(1, keepdim=True)).clamp(min=0).sqrt()  # makes the length 1: the cosine is `both`
        return torch.cat([both, rest], 1)

    return Reader(gallery, probe, file)


def _alike(faces: Tensor, size: int) -> Tensor:
    return torch.full((len(faces),), size)


def embed_store(
    embed: Embed,
    store: PreparedStore,
    title: str,
    probes: StoreProbes | None = None,
    names: Collection[str] | None = None,
) -> EmbeddedFaces:
    """Embed faces of a prepared store.

    Args:
        embed: The function that embeds them.
        store: The store.
        title: Name of the network, for messages and the progress bar.
        probes: How probes are made of them; None for sharp faces.
        names: Names of the faces; None for all of them.

    Returns:
        The embeddings, in the order of the store; with people if all of them are known.

    Raises:
        ValueError: If the store lacks a name, or an embedding is not finite or 0.
    """
    if names is not None:
        check_names(store, names)
        chosen = set(names)
    positions = [n for n, name in enumerate(store.names) if names is None or name in chosen]
    embeddings = torch.cat([embed(faces).cpu().float() for faces in _shown(store, positions, probes, title)])
    if not embeddings.isfinite().all() or (embeddings == 0).all(1).any():
        raise ValueError(
            f"{title} gives an embedding that is not finite or 0: its weights are damaged, or --bgr, --mean or --scale "
            "is wrong."
        )
    identity = store.identity[positions]
    people = [] if (identity == NO_IDENTITY).any() else [store.identities[number] for number in identity]
    return EmbeddedFaces([store.names[position] for position in positions], people, embeddings, store.path)


def check_names(store: PreparedStore, names: Collection[str]) -> None:
    """Raise ValueError if a store lacks pictures that are to be embedded."""
    known = set(store.names)
    missing = list(dict.fromkeys(name for name in names if name not in known))
    if missing:
        raise ValueError(
            f"The pairs name {excerpt(missing[0])}, the first of {len(missing)} pictures that {store.path} does not "
            "hold: prepare them, or give the store of these pairs."
        )


def _shown(store: PreparedStore, positions: list[int], probes: StoreProbes | None, title: str) -> Iterator[Tensor]:
    """Yield batches of faces or of their enlarged probes, (B, 3, S, S), RGB in [-1, 1]."""
    faces = FaceDataset(store, positions, schemes=())
    for start in progress_bar(range(0, len(faces), BATCH), desc=title, unit="batch", leave=False):
        pictures = [faces[number].hr for number in range(start, min(start + BATCH, len(faces)))]
        sharp = to_unit(torch.stack(pictures))
        if probes is None:
            yield sharp
        else:
            seeds = [digest_seed(picture_digest(picture)) for picture in pictures]
            yield seeded_probes(sharp, probes.size, probes.kind, seeds)
