"""Alignment of a face to the standard template by a similarity transform."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rim_lightning.schemes import FIVE_POINT_TEMPLATE_112, TEMPLATE_SIZE
from rim_lightning.types import UNLABELED


def template(hr_size: int, margin: int = 0) -> NDArray[np.float64]:
    """Scale the five template points to an image whose center is the aligned face.

    The scaling keeps pixel edges, not pixel centers, together: (p + 1/2) * hr_size / 112 - 1/2.

    Args:
        hr_size: Side of the aligned face in pixels.
        margin: Width of the frame around the face in pixels.

    Returns:
        (5, 2) points in pixels of the image of side hr_size + 2 * margin.
    """
    return (FIVE_POINT_TEMPLATE_112 + 0.5) * (hr_size / TEMPLATE_SIZE) - 0.5 + margin


def similarity_from_points(source: NDArray, target: NDArray) -> NDArray[np.float64]:
    """Find the similarity (rotation, uniform scale, shift) that maps `source` to `target` in least squares.

    It minimizes sum |s R p + t - q|^2 (Umeyama, 1991), here in the closed form for the plane: with centered points as
    complex numbers, s R is the number sum conj(p) q / sum |p|^2. A complex number cannot be a reflection.

    Args:
        source: (P, 2) points p.
        target: (P, 2) points q.

    Returns:
        (2, 3) float64 matrix [s R | t].

    Raises:
        ValueError: If a point is not finite, or all source points coincide.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("A similarity needs finite points.")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    p = (source - source_mean) @ np.array([1, 1j])
    q = (target - target_mean) @ np.array([1, 1j])
    spread = np.vdot(p, p).real
    if spread == 0.0:
        raise ValueError("A similarity cannot be found from points that all coincide.")
    turn = np.vdot(p, q) / spread
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def center_square_matrix(height: int, width: int, side: int) -> NDArray[np.float64]:
    """Matrix (2, 3) that scales the centered square of an image to (side, side) pixels, edges onto edges."""
    scale = side / min(height, width)
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]]) + np.column_stack(
        [np.zeros((2, 2)), (side - 1) / 2 - scale * center]
    )


def transform_points(points: NDArray, matrix: NDArray) -> NDArray[np.float64]:
    """Map points (..., 2) by a matrix (2, 3); NaN stays NaN."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def align(
    image: NDArray[np.uint8],
    matrix: NDArray,
    side: int,
    landmarks: Mapping[str, NDArray],
    parsing: NDArray[np.uint8] | None,
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]], NDArray[np.uint8] | None]:
    """Warp an image and its labels by a similarity.

    If the matrix reduces the image, the image is first shrunk by area to the scale of the result, so that pixels are
    averaged rather than dropped. Then it is warped bicubically. Outside the image its border pixels are repeated, and
    the parsing is `UNLABELED`.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3) similarity from pixels of `image` to pixels of the result.
        side: Side of the square result in pixels.
        landmarks: Scheme name -> (P, 2) in pixels of `image`.
        parsing: (H, W) uint8, Helen-11 classes at the size of the image; or None.

    Returns:
        Image (side, side, 3) uint8, landmarks scheme name -> (P, 2) float32 in pixels of that image, and parsing
        (side, side) uint8 or None.

    Raises:
        ValueError: If the parsing map is not as large as the image.
    """
    import cv2

    height, width = image.shape[:2]
    points = {scheme: transform_points(xy, matrix).astype(np.float32) for scheme, xy in landmarks.items()}
    if parsing is not None:
        if parsing.shape != (height, width):
            raise ValueError(f"the parsing map is {parsing.shape[::-1]} pixels where the image is {(width, height)}")
        classes = cv2.warpAffine(
            parsing,
            matrix,
            (side, side),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=UNLABELED,
        )
        parsing = np.asarray(classes, dtype=np.uint8)

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1.0:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        matrix = matrix @ _enlargement(small[0] / width, small[1] / height)
    warped = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8), points, parsing


def _enlargement(scale_x: float, scale_y: float) -> NDArray[np.float64]:
    """Matrix (3, 3) from pixels of an image reduced by these factors to pixels of the original, edges onto edges."""
    return np.array([[1 / scale_x, 0, 0.5 / scale_x - 0.5], [0, 1 / scale_y, 0.5 / scale_y - 0.5], [0, 0, 1]])
