"""Detection of faces and their five points with MTCNN (Zhang et al., 2016) from facenet-pytorch."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

MIN_FACE = 20  # pixels; smaller faces are not searched for
MAX_SIDE = 512  # pixels; the time of MTCNN grows with the number of pixels


class Face(NamedTuple):
    """A face that the detector found in an image.

    Attributes:
        box: (4,) x0, y0, x1, y1 in pixels of the image.
        points: (5, 2) in pixels of the image, in the order of the scheme "five".
        confidence: Confidence of the detector, in [0, 1].
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    confidence: float


def detect_faces(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64] | None]:
    """Find the five points of the face nearest to the center of each image.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.

    Returns:
        For each image (5, 2) points in pixels, in the order of the scheme "five"; None if it shows no face.

    Raises:
        ImportError: If facenet-pytorch is not installed.
    """
    return [
        _most_central(faces, *image.shape[:2]).points if faces else None
        for faces, image in zip(find_faces(images), images, strict=True)
    ]


def find_faces(images: Sequence[NDArray[np.uint8]], min_side: int = 0, max_side: int = MAX_SIDE) -> list[list[Face]]:
    """Find the faces of each image, the largest first.

    Images of one size are searched as one batch, on one thread, so that the result depends on the images alone.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        min_side: Smallest length of the longer side in pixels. Smaller images are enlarged for the search, so that
            faces of fewer than `MIN_FACE` pixels are found.
        max_side: Largest length of the longer side in pixels. Larger images are reduced for the search.

    Returns:
        For each image its faces, in pixels of that image.

    Raises:
        ImportError: If facenet-pytorch is not installed.
    """
    resized_images = [_resized_image(image, min_side, max_side) for image in images]
    indices_by_shape = defaultdict(list)
    for index, image in enumerate(resized_images):
        indices_by_shape[image.shape].append(index)
    faces_of: list[list[Face]] = [[] for _ in images]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for shape, indices in indices_by_shape.items():
            if min(shape[:2]) < MIN_FACE:
                continue
            detections = _detect_batch(np.stack([resized_images[index] for index in indices]))
            for index, faces in zip(indices, detections, strict=True):
                faces_of[index] = [
                    _resized_face(face, resized_images[index].shape, images[index].shape) for face in faces
                ]
    finally:
        torch.set_num_threads(threads)
    return faces_of


@cache
def _detector() -> Any:
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise ImportError(
            "Finding faces needs facenet-pytorch: pip install --no-deps facenet-pytorch==2.6.0 (its pins are outdated)."
        ) from error
    return MTCNN(keep_all=True, min_face_size=MIN_FACE, device="cpu").eval()


def _resized_image(image: NDArray[np.uint8], min_side: int, max_side: int) -> NDArray[np.uint8]:
    """Return the image at the size of the search."""
    import cv2

    height, width = image.shape[:2]
    longer = max(height, width)
    if min_side <= longer <= max_side:
        return image
    scale = (max_side if longer > max_side else min_side) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _resized_face(face: Face, before: tuple[int, ...], after: tuple[int, ...]) -> Face:
    """Convert a face from pixels of an image of shape `before` to pixels of the same image at shape `after`."""
    corners = _rescaled(face.box.reshape(2, 2), before, after)
    return Face(corners.reshape(4), _rescaled(face.points, before, after), face.confidence)


def _rescaled(points: NDArray, before: tuple[int, ...], after: tuple[int, ...]) -> NDArray[np.float64]:
    return (points + 0.5) * [after[1] / before[1], after[0] / before[0]] - 0.5


def _detect_batch(batch: NDArray[np.uint8]) -> list[list[Face]]:
    """Detect the faces in images (B, H, W, 3) of one size, the largest first."""
    faces_of = []
    for boxes, confidences, points in zip(*_detector().detect(list(batch), landmarks=True), strict=True):
        faces = []
        if boxes is not None:
            columns = (np.asarray(column, dtype=np.float64) for column in (boxes, points, confidences))
            faces = [Face(*row) for row in zip(*columns, strict=True)]
        faces_of.append(sorted(faces, key=_area, reverse=True))
    return faces_of


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _most_central(faces: Sequence[Face], height: int, width: int) -> Face:
    """Return the face whose box has its center nearest to the center of the image."""
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return min(faces, key=lambda face: np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - center))
