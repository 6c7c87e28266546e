"""rim_lightning.comparison.laboratory.readings."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.comparison.laboratory.realignment import realigned
from rim_lightning.functional.degradation import realistic_reduce
from rim_lightning.functional.resize import area_reduce, enlarge, reduce
from rim_lightning.networks.rim import RIM

Parts = Callable[[Tensor], dict[str, Tensor]]
"""Faces or enlarged probes (B, 3, S, S), RGB in [-1, 1] -> part of the system -> (B, E) embeddings, not normalized."""

TEACHER, BICUBIC = "teacher", "bicubic"
"""What needs no training: the pretrained recognizer on the enlarged probe, and the enlarged probe itself."""


class Side(NamedTuple):
    """How an image is shown to a system.

    Attributes: size: side of the probe in pixels; None: the sharp face. degradation: "bicubic", "area" or "realistic".
    """

    size: int | None
    degradation: str = "bicubic"

    def show(self, faces: Tensor, seeds: list[int]) -> Tensor:
        """(B, 3, S, S), RGB in [-1, 1] -> the same shape: the faces, or their probes enlarged to S.

        Args:
            seeds: one an image, for what is drawn at random ("realistic").
        """
        if self.size is None:
            return faces
        if self.degradation == "realistic":
            singles = zip(faces.split(1), seeds, strict=True)
            low = [realistic_reduce(face, self.size, torch.Generator().manual_seed(seed)) for face, seed in singles]
            return enlarge(torch.cat(low), faces.shape[-1])
        reducer = {"bicubic": reduce, "area": area_reduce}[self.degradation]
        return enlarge(reducer(faces, self.size), faces.shape[-1])


def parts_of(network: nn.Module, part: str, hallucination: nn.Module | None = None) -> Parts:
    """The way of a part through a trained system; parts that come for nothing come along.

    Args:
        network: a `RIM` or a `GuidedRecognizer`.
        part: "gallery": what reads sharp faces; "probe": what reads probes, of RIM f_S + f_A; "student": f_S of RIM;
            "sr": what reads the gallery reads the face that a hallucination network makes of the probe.
            "realigned": "probe" after the probe was aligned by RIM's own landmarks.
        hallucination: RIM whose hallucination network "sr" of a recognizer takes.
    """

    def learned(enlarged: Tensor) -> dict[str, Tensor]:
        faces = network.hrn.resized(network.fhn(enlarged).sr)
        student, assistant = network.hrn.student.stages(faces)[-1], network.hrn.assistant.stages(faces)[-1]
        return {"student": network.hrn.embed(student, None), "probe": network.hrn.embed(student, assistant)}

    if part == "gallery":
        return lambda faces: {"gallery": network.embed_gallery(faces)}
    if part == "sr":
        source = network if hallucination is None else hallucination
        return lambda enlarged: {"sr": network.embed_gallery(source.fhn(enlarged).sr)}
    if part == "realigned":
        return lambda enlarged: {"realigned": learned(realigned(network, enlarged))["probe"]}
    if isinstance(network, RIM):
        return learned
    return lambda enlarged: {"probe": network.embed_probe(enlarged)}


class Reading(NamedTuple):
    """Which part of which system reads a pair, see `parts_of`.

    Attributes:
        system: name, whose part `probe` reads the probe. gallery: part that reads the gallery, of the system itself or
            of `gallery_of`.
        sharp: the probe is sharp as well. low_gallery: the gallery is as low as the probe.
        sr: system whose hallucination network comes first, for the part "sr" of a recognizer.
    """

    system: str
    probe: str = "probe"
    gallery: str = "gallery"
    gallery_of: str | None = None
    sharp: bool = False
    low_gallery: bool = False
    sr: str | None = None
