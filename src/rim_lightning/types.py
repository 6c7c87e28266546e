"""Types that travel between the wings: a batch of faces and the terms of a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:  # worker processes that prepare images must not spend seconds on importing torch
    from torch import Tensor

UNLABELED = 255  # parsing class of a pixel without a label
NO_IDENTITY = -1  # identity of a face whose person is unknown

Terms: TypeAlias = dict[str, "Tensor"]
"""Unweighted loss terms by name, scalars, and "loss", their weighted sum."""


class FaceBatch(NamedTuple):
    """Aligned faces with the labels they carry.

    Attributes:
        hr: Sharp faces, (B, 3, H, W), RGB. The data set delivers uint8; on the device `to_unit` makes float32 in
            [-1, 1] of it.
        landmarks: Points by scheme name, (B, N, 2) float32, x and y in pixels of the HR grid, where the center of the
            first pixel is 0. NaN where a sample has no such annotation. Every batch has every scheme of its data set.
        parsing: Helen-11 class of each pixel, (B, H, W) uint8. `UNLABELED` where there is no label.
        identity: Person, (B,) int64. `NO_IDENTITY` where the person is unknown.
        index: Position in the data set, (B,) int64. It is unique, so that metrics can drop samples that a sampler
            repeated.
    """

    hr: Tensor
    landmarks: dict[str, Tensor]
    parsing: Tensor
    identity: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a batch


def to_unit(image: Tensor) -> Tensor:
    """Scale an 8-bit image to the range of the networks.

    Args:
        image: Any shape, uint8 in 0..255.

    Returns:
        Same shape, float32 in [-1, 1].
    """
    return image.float().div_(127.5).sub_(1.0)
