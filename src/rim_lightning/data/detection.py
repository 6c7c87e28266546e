"""Detection of the face and its five points with MTCNN (Zhang et al., 2016) from facenet-pytorch."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

MIN_FACE = 20  # pixels; smaller faces are not looked for
MAX_SIDE = 512  # larger images are reduced to this side for the search: the time of MTCNN grows with the pixels


@cache
def _detector():
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise ImportError(
            "Finding faces needs facenet-pytorch: pip install --no-deps facenet-pytorch==2.6.0 (its pins are outdated)."
        ) from error
    return MTCNN(keep_all=True, min_face_size=MIN_FACE, device="cpu").eval()


def detect_faces(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64] | None]:
    """Five points of the face nearest to the centre of each image.

    Images of one size are searched as one batch, on one thread: the result depends on the images alone.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.

    Returns:
        for each image (5, 2) float64 points in pixels, in the order of the scheme "five", or None without a face.

    Raises:
        ImportError: where facenet-pytorch is not installed.
    """
    reduced = [_reduced(image) for image in images]
    positions = defaultdict(list)
    for i, image in enumerate(reduced):
        positions[image.shape].append(i)
    found: list[NDArray[np.float64] | None] = [None] * len(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for shape, indices in positions.items():
            if min(shape[:2]) < MIN_FACE:
                continue
            for i, points in zip(indices, _detect_batch(np.stack([reduced[i] for i in indices])), strict=True):
                found[i] = None if points is None else _enlarged(points, reduced[i].shape, images[i].shape)
    finally:
        torch.set_num_threads(threads)
    return found


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _enlarged(points: NDArray, small: tuple[int, ...], large: tuple[int, ...]) -> NDArray[np.float64]:
    """Points in pixels of an image of shape `small` to pixels of the same image at shape `large`."""
    return (points + 0.5) * [large[1] / small[1], large[0] / small[0]] - 0.5


def _detect_batch(batch: NDArray[np.uint8]) -> list[NDArray[np.float64] | None]:
    boxes, _, points = _detector().detect(list(batch), landmarks=True)
    height, width = batch.shape[1:3]
    return [
        None if image_boxes is None else _most_central(image_boxes, image_points, height, width)
        for image_boxes, image_points in zip(boxes, points, strict=True)
    ]


def _most_central(boxes: NDArray, points: NDArray, height: int, width: int) -> NDArray[np.float64]:
    """Points of the box whose centre is nearest to the image's; boxes (F, 4) as x0, y0, x1, y1, points (F, 5, 2)."""
    boxes, points = np.asarray(boxes, dtype=np.float64), np.asarray(points, dtype=np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return points[np.linalg.norm(centres - [(width - 1) / 2, (height - 1) / 2], axis=1).argmin()]
