"""Hallucinated faces in the picture that they were made of, marked so that nobody takes them for a photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rim_lightning.data.alignment import similarity_from_points, template, transform_points
from rim_lightning.inference.face_pictures import HALLUCINATED, MARK_COLOR

MOST_PIXELS = 50_000_000
"""Largest frame that is written, in pixels, unless the picture itself is larger."""

BORDER_WIDTH = 0.03
"""Width of the border, as a share of the side of the face. It lies inside the square."""
WORDS_HEIGHT = 0.10
"""Height of the line of words at the top of the square, or at its bottom if the top is not seen, likewise."""
FINER = 4
"""Factor by which the words are drawn larger before they are warped into the frame."""
STRIP = 1_000_000
"""Most pixels of a frame that are pasted over at a time: each takes about 200 bytes meanwhile."""


class PastedFace(NamedTuple):
    """A face to be pasted.

    Attributes:
        pixels: (S, S, 3) uint8 RGB, on the five-point template.
        points: (5, 2), the points of the face in pixels of the picture.
        side: Side of the square of the face in pixels of the picture.
    """

    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]
    side: float


def frame_factor(shape: tuple[int, ...], faces: Sequence[PastedFace]) -> int:
    """Return the whole factor by which a frame is enlarged, so that the smallest face keeps its pixels.

    Args:
        shape: Height and width of the picture.
        faces: The faces, at least one.

    Returns:
        The factor nearest to the side of the hallucinated face over that of the smallest face; 1 for faces that are as
        large, and less than that if the frame would have more than `MOST_PIXELS`.
    """
    wanted = round(max(len(face.pixels) / face.side for face in faces))
    most = math.isqrt(MOST_PIXELS // (shape[0] * shape[1]))
    return max(1, min(wanted, most))


def face_matrix(face: PastedFace, factor: int = 1) -> NDArray[np.float64]:
    """Return the similarity (2, 3) from pixels of the picture, enlarged by a factor, to pixels of the face."""
    matrix = similarity_from_points(face.points, template(len(face.pixels)))
    enlarged = np.array([[1 / factor, 0, 0.5 / factor - 0.5], [0, 1 / factor, 0.5 / factor - 0.5], [0, 0, 1]])
    return np.asarray(matrix @ enlarged, dtype=np.float64)


def paste_faces(image: NDArray[np.uint8], faces: Sequence[PastedFace], factor: int) -> NDArray[np.uint8]:
    """Paste faces into the picture that they were made of, each in a border and under the words that say what it is.

    The inverse of the alignment brings each face to its place, by bicubic interpolation; a face that becomes smaller is
    averaged first. Around the squares of the faces each pixel of the picture is repeated.

    Args:
        image: (H, W, 3) uint8 RGB.
        faces: The faces. Where two overlap, the smaller one is on top.
        factor: Whole factor by which the picture is enlarged.

    Returns:
        (factor · H, factor · W, 3) uint8.
    """
    frame = image.repeat(factor, axis=0).repeat(factor, axis=1)
    for face in sorted(faces, key=lambda face: face.side, reverse=True):
        _paste(frame, face, factor)
    return frame


def with_caption(frame: NDArray[np.uint8], lines: Sequence[str]) -> Image.Image:
    """Return a frame above lines of text. Lines that are too long for its width are broken.

    Args:
        frame: (H, W, 3) uint8 RGB.
        lines: The lines.

    Returns:
        A picture of the width of the frame. The pixels of the frame are not touched.
    """
    height, width = frame.shape[:2]
    size = min(max(12, round(width / 50)), 40)
    font = ImageFont.load_default(size=size)
    broken = [part for line in lines for part in _broken(line, font, width - size)]
    step = round(1.3 * size)
    picture = Image.new("RGB", (width, height + step * len(broken) + size), "white")
    picture.paste(Image.fromarray(frame))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, height, width, height + size // 4), fill=MARK_COLOR)
    for number, line in enumerate(broken):
        draw.text((size // 2, height + size // 2 + number * step), line, font=font, fill="black")
    return picture


def _paste(frame: NDArray[np.uint8], face: PastedFace, factor: int) -> None:
    """Paste a face into a frame, which is changed."""
    matrix = face_matrix(face, factor)
    x0, y0, x1, y1 = _bounds(matrix, len(face.pixels), frame.shape)
    if x0 >= x1 or y0 >= y1:
        return
    rows = max(1, STRIP // (x1 - x0))
    pixels, label = face.pixels.astype(np.float32), _label(len(face.pixels), _seen_at_top(matrix, face, frame.shape))
    for top in range(y0, y1, rows):
        shifted = matrix.copy()
        shifted[:, 2] += matrix[:, :2] @ (x0, top)
        strip = frame[top : min(top + rows, y1), x0:x1]
        strip[:] = _pasted(strip, pixels, label, shifted)


def _pasted(
    part: NDArray[np.uint8], pixels: NDArray[np.float32], label: NDArray[np.float32], matrix: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return a part of a frame with the face in it.

    Args:
        part: (h, w, 3).
        pixels: (S, S, 3), the face, 0 to 255.
        label: See `_label`.
        matrix: Similarity (2, 3) from pixels of the part to pixels of the face.
    """
    size, side = part.shape[1::-1], len(pixels)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])  # pixels of the face for one of the frame
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    places = transform_points(np.stack([x, y], axis=-1), matrix) + 0.5  # (h, w, 2), from 0 to side in the square
    inside = np.minimum(places, side - places).min(axis=-1, keepdims=True) / scale  # to the nearest edge, in pixels
    width = max(2.0, BORDER_WIDTH * side / scale)
    warped = _warped(pixels, matrix, size)
    words = _warped(label, _finer(matrix), size)
    alpha = words[..., 3:] / 255
    marked = warped * (1 - alpha) + words[..., :3] * alpha
    line = np.where(inside < width / 3, 0.0, np.array(MARK_COLOR))  # black around the color: seen on any picture
    border = np.clip(width - inside, 0, 1)
    marked = marked * (1 - border) + line * border
    covered = np.clip(inside, 0, 1)  # nothing where the middle of a pixel lies outside
    blended = part * (1 - covered) + marked * covered
    return np.asarray(blended.round().clip(0, 255), dtype=np.uint8)


def _bounds(matrix: NDArray[np.float64], side: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the part of a frame, x0, y0, x1, y1, that holds the square of a face."""
    corners = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [side - 0.5, side - 0.5], [-0.5, side - 0.5]])
    within = np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T)  # (2, 4)
    x0, y0 = np.maximum(np.floor(within.min(axis=1)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(within.max(axis=1)) + 1, (shape[1], shape[0])).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _warped(source: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Warp a picture by the inverse of a similarity; if that reduces it, it is averaged to the scale of the result."""
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if scale > 1:
        side = max(1, round(len(source) / scale))
        ratio = side / len(source)
        source = np.asarray(cv2.resize(source, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)
        matrix = np.array([[ratio, 0, ratio / 2 - 0.5], [0, ratio, ratio / 2 - 0.5]]) @ np.vstack([matrix, [0, 0, 1]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(source, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32).clip(0, 255)


def _finer(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix to pixels of the label, of which `FINER` lie on one of the face."""
    finer = matrix * FINER
    finer[:, 2] += (FINER - 1) / 2
    return finer


def _seen_at_top(matrix: NDArray[np.float64], face: PastedFace, shape: tuple[int, ...]) -> bool:
    """Return True if a frame shows at least as much of the words at the top of the square as at its bottom."""
    side = len(face.pixels)
    middle = side * (BORDER_WIDTH + WORDS_HEIGHT / 2)
    along = np.linspace(0, side, 21)
    seen = []
    for row in (middle, side - middle):
        places = np.stack([along, np.full_like(along, row)], axis=1) - 0.5 - matrix[:, 2]  # (21, 2)
        x, y = np.linalg.solve(matrix[:, :2], places.T)
        seen.append(int(((x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)).sum()))
    return seen[0] >= seen[1]


def _label(side: int, at_top: bool) -> NDArray[np.float32]:
    """Draw the words, as RGB and opacity (FINER · side, FINER · side, 4), 0 to 255."""
    picture = Image.new("RGBA", (FINER * side, FINER * side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    border, height = FINER * side * BORDER_WIDTH, FINER * side * WORDS_HEIGHT
    start = 0 if at_top else FINER * side - border - height
    draw.rectangle((0, start, FINER * side, start + border + height), fill=(0, 0, 0, 255))
    size = next(
        size
        for size in range(max(1, round(height)), 0, -1)
        if size == 1 or ImageFont.load_default(size=size).getlength(HALLUCINATED) <= FINER * side - 2.5 * border
    )
    font = ImageFont.load_default(size=size)
    middle = FINER * side / 2, start + height / 2 + (border if at_top else 0)
    draw.text(middle, HALLUCINATED, font=font, fill="white", anchor="mm")
    return np.asarray(picture, dtype=np.float32)


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break a line between words where it is too long, and a word that is too long by itself anywhere."""
    lines = [""]
    for word in text.split():
        if lines[-1] and font.getlength(f"{lines[-1]} {word}") > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
        while font.getlength(lines[-1]) > width and len(lines[-1]) > 1:
            most = next(
                most
                for most in range(len(lines[-1]) - 1, 0, -1)
                if font.getlength(lines[-1][:most]) <= width or most == 1
            )
            lines[-1:] = [lines[-1][:most], lines[-1][most:]]
    return lines
