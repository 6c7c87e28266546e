"""Views of a face in its picture for a report: where it lies, and its own pixels, enlarged without interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from rim_lightning.functional.marked_faces import mark_landmarks
from rim_lightning.schemes import FIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WIDEST = 720
"""Longer side of a view of a whole picture in pixels. A larger picture is reduced."""
FACE_SIDE = 320
"""Side of a view of a face in pixels, at least. A smaller one is enlarged by a whole factor."""
AROUND = 1.5
"""Side of a view of a face, as a multiple of the longer side of its box."""
BOX_COLOR = (20, 150, 60)


def picture_view(image: NDArray[np.uint8], box: Sequence[float] | None) -> Image.Image:
    """Return a whole picture with the box of a face in it.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in pixels. None for no box.

    Returns:
        The picture, reduced if it is large, enlarged by a whole factor without interpolation if it is small.
    """
    picture = _enlarged(Image.fromarray(image), FACE_SIDE)
    if max(picture.size) > WIDEST:
        picture.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    if box is not None:
        scale = picture.width / image.shape[1]
        x0, y0, x1, y1 = ((value + 0.5) * scale for value in box)
        draw, wide = ImageDraw.Draw(picture), max(2, max(picture.size) // 160)
        for color, grown in (("white", 2 * wide), (BOX_COLOR, wide)):  # around the face, whose pixels stay free
            outer = (x0 - grown, y0 - grown, max(x0, x1) + grown, max(y0, y1) + grown)
            draw.rectangle(outer, outline=color, width=wide)
    return picture


def face_view(
    image: NDArray[np.uint8], box: Sequence[float] | None, points: Sequence[Sequence[float]] | None = None
) -> tuple[Image.Image, int]:
    """Return the pixels of a face and what surrounds it.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in pixels. None takes the whole picture.
        points: (5, 2) points to mark, in pixels of the picture (`FIVE`); None for none.

    Returns:
        The view, and the factor by which its pixels were repeated; 0 if it was reduced.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (0.0, 0.0, width - 1.0, height - 1.0) if box is None else box
    half = (max(x1 - x0, y1 - y0, 2.0) + 1) * (0.5 if box is None else 0.5 * AROUND)
    middle = (x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2
    left, top = (min(max(0, int(center - half)), end - 1) for center, end in zip(middle, (width, height), strict=True))
    right, bottom = (
        min(end, max(least + 1, int(np.ceil(center + half))))
        for center, least, end in zip(middle, (left, top), (width, height), strict=True)
    )
    picture = Image.fromarray(image[top:bottom, left:right])
    factor = _factor(picture, FACE_SIDE)
    picture = _enlarged(picture, FACE_SIDE)
    if max(picture.size) > WIDEST:
        picture.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
        factor = 0
    if points is not None:
        places = (np.array(points) - (left, top) + 0.5) * picture.width / (right - left) - 0.5
        marked = mark_landmarks(np.asarray(picture), {FIVE.name: places}, max(2.0, max(picture.size) / 100))
        picture = Image.fromarray(marked)
    return picture, factor


def _factor(picture: Image.Image, least: int) -> int:
    return max(1, -(-least // max(picture.size)))


def _enlarged(picture: Image.Image, least: int) -> Image.Image:
    """Repeat the pixels of a picture until its longer side has `least` pixels."""
    factor = _factor(picture, least)
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
