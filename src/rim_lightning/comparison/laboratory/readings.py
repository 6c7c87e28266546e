"""How a system reads the two sides of a pair: with which part, and what that part is shown."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rim_lightning.evaluation.hallucination import hallucinate
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.inference.resolution import size_of_detail
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.rim import RIM

TEACHER, BICUBIC = "teacher", "bicubic"
"""Systems that need no training: the pretrained recognizer, and the enlarged probe itself."""


class Side(NamedTuple):
    """How an image is shown to a system.

    Attributes:
        size: Side of the probe in pixels; None shows the sharp face.
        degradation: How the probe is made, see `ProbeKind`. "native": it is small from the start, and was enlarged to a
            face that is shown as it is.
        misalignment: How the probe is moved, see `ProbeKind`.
    """

    size: int | None
    degradation: str = "bicubic"
    misalignment: str | None = None

    def show(self, faces: Tensor, seeds: list[int]) -> Tensor:
        """Return the faces themselves, or their probes enlarged to the size of the faces.

        Args:
            faces: Sharp faces, (B, 3, S, S), RGB in [-1, 1].
            seeds: One seed per image, for what is random.

        Returns:
            Images of the same shape, RGB in [-1, 1].
        """
        if self.size is None:
            return faces
        return seeded_probes(faces, self.size, ProbeKind(self.degradation, self.misalignment), seeds)

    def sizes(self, images: Tensor) -> Tensor:
        """Return the sides of probes in pixels before they were enlarged.

        Args:
            images: What `show` returned, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            (B,). S for sharp faces; estimated from their detail if the probes are small from the start.
        """
        hr_size = images.shape[-1]
        if self.degradation == "native":
            center = np.full(2, (hr_size - 1) / 2)
            return torch.tensor([size_of_detail(to_pixels(image), center, float(hr_size)) for image in images.cpu()])
        return torch.full((len(images),), hr_size if self.size is None else self.size)


class Reading(NamedTuple):
    """The parts of systems that read the two sides of a pair; `embed_part` lists the parts.

    Attributes:
        system: Name of the system that reads the probe.
        probe: Its part that reads the probe.
        gallery: The part that reads the gallery, of `gallery_of` or of the system itself.
        gallery_of: Name of the system that reads the gallery; None: the same system.
        sharp: True if the probe is the sharp face.
        low_gallery: True if the gallery image is reduced like the probe.
        sr: System whose hallucinated face the part "sr" reads; None: the system's own.
    """

    system: str
    probe: str = "probe"
    gallery: str = "gallery"
    gallery_of: str | None = None
    sharp: bool = False
    low_gallery: bool = False
    sr: str | None = None


def embed_part(
    network: nn.Module, part: str, hallucination: nn.Module | None, side: Side, faces: Tensor
) -> dict[str, Tensor]:
    """Embed faces with one part of a system. Parts that the same forward pass yields are returned too.

    Args:
        network: A `RIM` or a `GuidedRecognizer`.
        part: "gallery" reads sharp faces. "probe" reads probes; of RIM it is f_S + f_A. "student" is f_S of RIM. "sr"
            applies the gallery's network to the hallucinated face.
        hallucination: Network whose hallucinated face the part "sr" reads; None: the network's own.
        side: How the faces were made.
        faces: Sharp faces or enlarged probes, (B, 3, S, S), RGB in [-1, 1].

    Returns:
        Part -> (B, E) embeddings, not normalized.

    Raises:
        ValueError: If the network has no such part.
    """
    recognizer = as_recognizer(network)
    if part == "gallery":
        return {"gallery": recognizer.embed_gallery(faces)}
    sizes = side.sizes(faces)
    own = isinstance(recognizer, RIM) and hallucination is None
    if part == "sr" and not own:
        source = as_hallucinator(recognizer if hallucination is None else hallucination)
        return {"sr": recognizer.embed_gallery(hallucinate(source, faces, sizes))}
    if not isinstance(recognizer, RIM):
        if part != "probe":
            raise ValueError(f"{type(recognizer).__name__} has no part {part}: only RIM has.")
        return {"probe": recognizer.embed_probe(faces, sizes)}
    embeddings = recognizer.probe_embeddings(faces, sizes)
    sr = recognizer.embed_gallery(embeddings.sr)
    return {"student": embeddings.student, "probe": embeddings.rim, "sr": sr}


def as_recognizer(network: nn.Module) -> RIM | GuidedRecognizer:
    """Return a network that embeds faces.

    Raises:
        ValueError: If the network does not.
    """
    if not isinstance(network, RIM | GuidedRecognizer):
        raise ValueError(
            f"{type(network).__name__} embeds no faces: give the system an experiment that trains a recognizer."
        )
    return network


def as_hallucinator(network: nn.Module) -> RIM | SuperResolver:
    """Return a network that hallucinates faces.

    Raises:
        ValueError: If the network does not.
    """
    if not isinstance(network, RIM | SuperResolver):
        raise ValueError(
            f"{type(network).__name__} hallucinates no faces: give the system an experiment that trains a "
            "hallucination network."
        )
    return network
