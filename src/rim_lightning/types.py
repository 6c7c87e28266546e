"""The tensors that travel between the layers, with shapes, ranges and units stated once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the workers that prepare images need no torch, which takes seconds to import
    from torch import Tensor

UNLABELED = 255  # parsing class of a pixel without a label
NO_IDENTITY = -1  # identity of a face whose person is unknown

Terms = "dict[str, Tensor]"  # every unweighted loss term by name, scalars, plus "loss", the weighted sum


class FaceBatch(NamedTuple):
    """Aligned faces with whatever labels they carry.

    Attributes:
        hr: (B, 3, H, W), RGB; uint8 as the data set ships it, float32 in [-1, 1] once on the device (`to_unit`).
        landmarks: scheme name -> (B, N, 2) float32, x and y in pixels of the HR grid (the center of the first pixel
            is 0); NaN where the sample has no such annotation. Every batch carries every scheme of its data.
        parsing: (B, H, W) uint8, Helen-11 class; `UNLABELED` where there is no label.
        identity: (B,) int64; `NO_IDENTITY` where the person is unknown.
        index: (B,) int64, position in the data set: unique, so that metrics can drop samples a sampler repeated.
    """

    hr: Tensor
    landmarks: dict[str, Tensor]
    parsing: Tensor
    identity: Tensor
    index: Tensor


def to_unit(image: Tensor) -> Tensor:
    """uint8 image (values 0..255) to float32 in [-1, 1]."""
    return image.float().div_(127.5).sub_(1.0)
