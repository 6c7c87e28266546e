"""rim_lightning.inference.faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from rim_lightning.data.images import Picture

SHARP = 0.5  # of `hr_size`: from there on a gallery face is sharp; the teacher reads 56 px like 112 (docs/results.md)
SEARCHED = (240, 1920)  # pixels: for the search, smaller pictures are enlarged and larger ones reduced to such a side


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face on the five-point template; it may be given wherever a picture may.

    Attributes:
        pixels: (3, S, S), RGB in [-1, 1], S the model's `hr_size`; a face of fewer pixels is enlarged to it.
        size: side, in pixels of the picture, of the square that was cut out: what a probe is judged by.
        faces: how many faces the picture shows; the largest is taken. 0: it was not searched.
        name: of the picture, for messages.
    """

    pixels: Tensor
    size: float
    faces: int
    name: str


def _name_of(picture: Picture, number: int, count: int) -> str:
    if isinstance(picture, str | Path):
        return str(picture)
    return "the picture" if count == 1 else f"picture {number + 1}"
