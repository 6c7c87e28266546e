"""Pictures of a hallucinated face for people to look at, with its landmarks and parsing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.schemes import parsing_colors

if TYPE_CHECKING:
    from rim_lightning.inference.recognizer import HallucinatedFaces

CAPTION_HEIGHT = 18  # pixels
GAP = 4  # pixels between two pictures
POINT_COLOR = (60, 220, 90)


def sharp_face(faces: HallucinatedFaces, index: int) -> Image.Image:
    """Return a hallucinated face in its own size.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.

    Returns:
        Picture of (S, S) pixels.
    """
    return Image.fromarray(to_pixels(faces.sr[index], black=0.0))


def face_pictures(faces: HallucinatedFaces, index: int, side: int) -> list[tuple[Image.Image, str]]:
    """Return five pictures of one face: bicubic, coarse, hallucinated, landmarks and parsing.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.
        side: Side of a picture in pixels.

    Returns:
        (picture, caption) in that order. The first caption also says the size of the probe.
    """
    bicubic, coarse, hallucinated = (
        _enlarged(to_pixels(image[index], black=0.0), side) for image in (faces.bicubic, faces.coarse, faces.sr)
    )
    landmarks = hallucinated.copy()
    draw = ImageDraw.Draw(landmarks)
    radius = max(1.0, side / 128)
    for maps in faces.heatmaps.values():
        for x, y in (decode_heatmaps(maps[index : index + 1], side)[0] + 0.5).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT_COLOR)
    classes = parsing_colors()[faces.parsing[index].numpy()]  # (h, w) -> (h, w, 3)
    parsing = Image.fromarray(classes).resize((side, side), Image.Resampling.NEAREST)
    return [
        (bicubic, f"bicubic, {faces.size[index]:.0f} px"),
        (coarse, "coarse"),
        (hallucinated, "hallucinated"),
        (landmarks, "landmarks"),
        (parsing, "parsing"),
    ]


def face_strip(faces: HallucinatedFaces, index: int, side: int = 192) -> Image.Image:
    """Return the pictures of one face in a row, each under its caption.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.
        side: Side of each picture in pixels.

    Returns:
        One picture.
    """
    pictures = face_pictures(faces, index, side)
    strip = Image.new("RGB", (len(pictures) * (side + GAP) - GAP, side + CAPTION_HEIGHT), "white")
    draw = ImageDraw.Draw(strip)
    for column, (picture, caption) in enumerate(pictures):
        left = column * (side + GAP)
        draw.text((left + 2, 3), caption, fill="black")
        strip.paste(picture, (left, CAPTION_HEIGHT))
    return strip


def _enlarged(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
