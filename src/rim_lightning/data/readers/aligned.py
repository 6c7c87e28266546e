"""Encoded faces that others have aligned to the ArcFace template of 112 px, as packs of recognition data hold them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import ImageError, picture_header
from rim_lightning.schemes import FIVE, FIVE_POINT_TEMPLATE_112, TEMPLATE_SIZE

ALIGNED_POINTS: Mapping[str, NDArray[np.float64]] = {FIVE.name: FIVE_POINT_TEMPLATE_112}
"""The five points of every aligned face, in its pixels."""


def aligned_face(content: bytes, name: str) -> bytes:
    """Return an encoded face if its sides are those of an aligned one.

    Args:
        content: The encoded picture.
        name: Name of the picture, for messages.

    Raises:
        ImageError: If it is no picture, or of another size: then its points are unknown.
    """
    header = picture_header(content, name)
    if (header.width, header.height) != (TEMPLATE_SIZE, TEMPLATE_SIZE):
        raise ImageError(
            f"{name} has {header.width} x {header.height} pixels; the points are known of aligned faces of "
            f"{TEMPLATE_SIZE} x {TEMPLATE_SIZE} alone."
        )
    return content
