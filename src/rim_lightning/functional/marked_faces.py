"""How landmarks and parts of a face are shown to people, everywhere: fixed colors, smooth points, a legend."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rim_lightning.schemes import HELEN11, LANDMARK_SCHEMES

PART_CLASSES = {
    "jaw": "face_skin",
    "left_brow": "left_eyebrow",
    "right_brow": "right_eyebrow",
    "left_eye": "left_eye",
    "right_eye": "right_eye",
    "nose": "nose",
    "mouth": "upper_lip",
}
"""Part of a landmark scheme -> class of the parsing map that has its color."""

RIM_WIDTH = 0.4
"""Width of the black rim of a point, as a share of its radius: it is seen on light skin and on dark."""

Color = tuple[int, int, int]


def part_color(part: str) -> Color:
    """Return the color of a part of a landmark scheme or of a parsing class, RGB 0 to 255."""
    return HELEN11.colors[HELEN11.classes.index(PART_CLASSES.get(part, part))]


def part_legend(classes: bool = True) -> dict[str, Color]:
    """Return what the colors mean, by the words of a legend.

    Args:
        classes: True for the parts of landmarks and the classes of parsing maps; False for the five points of a
            detector alone.

    Returns:
        Words -> RGB, 0 to 255.
    """
    words = {"eyes": "left_eye", "nose": "nose", "mouth": "mouth"}
    if classes:
        words = {
            "face, jaw": "jaw",
            "brows": "left_brow",
            "eyes": "left_eye",
            "nose": "nose",
            "mouth, upper lip": "mouth",
            "inner mouth": "inner_mouth",
            "lower lip": "lower_lip",
            "hair": "hair",
        }
    return {word: part_color(part) for word, part in words.items()}


def mark_landmarks(
    image: NDArray[np.uint8], landmarks: Mapping[str, NDArray[np.floating]], radius: float
) -> NDArray[np.uint8]:
    """Mark landmarks as round points in the color of their part. Edges are smooth, and places between pixels count.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: Scheme name -> (P, 2), x and y in pixels of the image, the middle of the first pixel at 0. Points
            that are not finite are left out.
        radius: Radius of a point in pixels, without its rim.

    Returns:
        (H, W, 3) uint8.
    """
    marked = image.astype(np.float32)
    for scheme, points in landmarks.items():
        for part, indices in LANDMARK_SCHEMES[scheme].components.items():
            for index in indices:
                _mark(marked, points[index], np.array(part_color(part), np.float32), radius)
    return marked.round().astype(np.uint8)


def _mark(image: NDArray[np.float32], point: NDArray[np.floating], color: NDArray[np.float32], radius: float) -> None:
    """Mark one point in an image, which is changed: each pixel by the share of it that lies within the circle."""
    height, width = image.shape[:2]
    reach = radius * (1 + RIM_WIDTH) + 1
    if not np.isfinite(point).all() or not (-reach < point[0] < width + reach and -reach < point[1] < height + reach):
        return
    x0, y0 = np.maximum(np.floor(point - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(point + reach) + 1, (width, height)).astype(int)
    part = image[y0:y1, x0:x1]
    rows, columns = np.mgrid[y0:y1, x0:x1]
    distance = np.hypot(columns - point[0], rows - point[1])[..., None]
    for size, paint in ((radius * (1 + RIM_WIDTH), np.zeros(3, np.float32)), (radius, color)):
        share = (size + 0.5 - distance).clip(0, 1)
        part += share * (paint - part)
