"""Views of a stored face: the center crop, the mirror image and a moved crop, with the labels that belong to them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from rim_lightning.functional.misalignment import seeded_moves
from rim_lightning.schemes import HELEN11, LANDMARK_SCHEMES
from rim_lightning.types import UNLABELED

Points = dict[str, NDArray[np.float32]]  # scheme name -> (N, 2) x and y in pixels, NaN where not annotated
LabeledFace = tuple[NDArray[np.uint8], NDArray[np.uint8] | None, Points]  # image, parsing or None, points
View = Callable[[NDArray[np.uint8], NDArray[np.uint8] | None, Points, int], LabeledFace]  # the last one is a seed

_MIRRORED_CLASS = np.arange(256, dtype=np.uint8)  # UNLABELED and unknown classes keep their number
_MIRRORED_CLASS[: len(HELEN11.flip)] = HELEN11.flip


def mirror_parsing(parsing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exchange the left and right classes of a Helen-11 map (H, W); its pixels stay in place."""
    return _MIRRORED_CLASS[parsing]


def flip_face(image: NDArray[np.uint8], parsing: NDArray[np.uint8] | None, points: Points) -> LabeledFace:
    """Mirror a face left to right: the pixels, the points, and the names of both.

    Landmark n of the result is the landmark that plays the role of n on the mirrored face. Left and right parsing
    classes change places. Flipping twice is the identity.

    Args:
        image: (S, S, 3) uint8.
        parsing: (S, S) uint8, Helen-11 classes; or None.
        points: Scheme name -> (N, 2) in pixels of `image`. They are not changed.

    Returns:
        Image, parsing and points of the mirrored face, of the same shapes.
    """
    mirrored = {}
    for scheme, xy in points.items():
        xy = xy[np.asarray(LANDMARK_SCHEMES[scheme].flip)]  # fancy indexing copies: the caller's points stay
        xy[:, 0] = image.shape[1] - 1 - xy[:, 0]
        mirrored[scheme] = xy
    return image[:, ::-1], None if parsing is None else mirror_parsing(parsing[:, ::-1]), mirrored


def center_crop(image: NDArray[np.uint8], parsing: NDArray[np.uint8] | None, points: Points, size: int) -> LabeledFace:
    """Cut out the central (size, size) pixels and move the points with them.

    Args:
        image: (H, W, 3) uint8.
        parsing: (H, W) uint8, Helen-11 classes; or None.
        points: Scheme name -> (N, 2) in pixels of `image`.
        size: Side of the result in pixels.

    Returns:
        Image (size, size, 3), parsing (size, size) or None, and points in pixels of that image.

    Raises:
        ValueError: If the image is smaller than `size`.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"A stored face of {width}x{height} pixels cannot be cropped to {size}: prepare it larger.")
    top, left = (height - size) // 2, (width - size) // 2
    window = (slice(top, top + size), slice(left, left + size))
    offset = np.array([left, top], dtype=np.float32)
    cropped_points = {scheme: xy - offset for scheme, xy in points.items()}
    return image[window], None if parsing is None else parsing[window], cropped_points


def mirrored_crop(
    image: NDArray[np.uint8], parsing: NDArray[np.uint8] | None, points: Points, seed: int, size: int
) -> LabeledFace:
    """Center crop of the mirrored face; a `View` once `size` is bound.

    Args:
        image: (S, S, 3) uint8.
        parsing: (S, S) uint8, Helen-11 classes; or None.
        points: Scheme name -> (N, 2) in pixels of `image`.
        seed: Not used: the mirror image is not random.
        size: Side of the result in pixels.

    Returns:
        Image, parsing and points, see `center_crop`.

    Raises:
        ValueError: If the image is smaller than `size`.
    """
    return center_crop(*flip_face(image, parsing, points), size)


def moved_crop(
    image: NDArray[np.uint8], parsing: NDArray[np.uint8] | None, points: Points, seed: int, size: int, probe_size: int
) -> LabeledFace:
    """Center crop that is moved by an error of the size of a detector's; a `View` once the sizes are bound.

    What comes into view is the margin of the stored picture; beyond it the border is repeated.

    Args:
        image: (H, W, 3) uint8.
        parsing: (H, W) uint8, Helen-11 classes; or None.
        points: Scheme name -> (N, 2) in pixels of `image`.
        seed: Seed of the error.
        size: Side of the result in pixels.
        probe_size: Side of the probe in pixels, on which the error depends.

    Returns:
        Image (size, size, 3), parsing (size, size) or None, and points in pixels of that image.
    """
    import cv2

    (move,) = seeded_moves(torch.tensor([probe_size]), "detector", [seed]).numpy()
    turn = np.exp(move[2] + 1j * move[3])
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    from_center = np.array([(image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2])
    matrix = np.column_stack([linear, (size - 1) / 2 + move[:2] * size - linear @ from_center])
    warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if parsing is not None:
        classes = cv2.warpAffine(
            parsing,
            matrix,
            (size, size),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNLABELED,
        )
        parsing = np.asarray(classes, dtype=np.uint8)
    moved_points = {scheme: (xy @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32) for scheme, xy in points.items()}
    return np.asarray(warped, dtype=np.uint8), parsing, moved_points
