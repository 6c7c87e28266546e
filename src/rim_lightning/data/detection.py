"""Detection of the face and its five points with MTCNN (Zhang et al., 2016) from facenet-pytorch."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

MIN_FACE = 20  # pixels; smaller faces are not looked for
MAX_SIDE = 512  # pixels; the time of MTCNN grows with those of the image


class Face(NamedTuple):
    """Attributes: box: (4,) x0, y0, x1, y1 in pixels. points: (5, 2) pixels, in the order of the scheme "five".
    confidence: of the detector, in [0, 1].
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    confidence: float


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
    """Five points of the face nearest to the center of each image.

    Args, Raises: as for `find_faces`.

    Returns:
        for each image (5, 2) float64 points in pixels, in the order of the scheme "five", or None without a face.
    """
    found = find_faces(images)
    return [
        _most_central(faces, *image.shape[:2]).points if faces else None
        for faces, image in zip(found, images, strict=True)
    ]


def find_faces(images: Sequence[NDArray[np.uint8]], min_side: int = 0, max_side: int = MAX_SIDE) -> list[list[Face]]:
    """The faces of each image, the largest first.

    Images of one size are searched as one batch, on one thread: the result depends on the images alone.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        min_side, max_side: pixels; for the search, an image whose longer side is shorter is enlarged, to find faces of
            fewer than `MIN_FACE` pixels in it, and one whose longer side is longer is reduced.

    Raises:
        ImportError: where facenet-pytorch is not installed.
    """
    searched = [_searched(image, min_side, max_side) for image in images]
    positions = defaultdict(list)
    for i, image in enumerate(searched):
        positions[image.shape].append(i)
    found: list[list[Face]] = [[] for _ in images]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for shape, indices in positions.items():
            if min(shape[:2]) < MIN_FACE:
                continue
            for i, faces in zip(indices, _detect_batch(np.stack([searched[i] for i in indices])), strict=True):
                found[i] = [_resized_face(face, searched[i].shape, images[i].shape) for face in faces]
    finally:
        torch.set_num_threads(threads)
    return found


def _searched(image: NDArray[np.uint8], min_side: int, max_side: int) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    longer = max(height, width)
    if min_side <= longer <= max_side:
        return image
    scale = (max_side if longer > max_side else min_side) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _resized_face(face: Face, searched: tuple[int, ...], image: tuple[int, ...]) -> Face:
    """A face in pixels of an image of shape `searched` to pixels of the same image at shape `image`."""
    corners = _rescaled(face.box.reshape(2, 2), searched, image)
    return Face(corners.reshape(4), _rescaled(face.points, searched, image), face.confidence)


def _rescaled(points: NDArray, before: tuple[int, ...], after: tuple[int, ...]) -> NDArray[np.float64]:
    return (points + 0.5) * [after[1] / before[1], after[0] / before[0]] - 0.5


def _detect_batch(batch: NDArray[np.uint8]) -> list[list[Face]]:
    boxes, confidences, points = _detector().detect(list(batch), landmarks=True)
    found = []
    for each_boxes, each_confidences, each_points in zip(boxes, confidences, points, strict=True):
        faces = []
        if each_boxes is not None:
            numbers = (np.asarray(each, dtype=np.float64) for each in (each_boxes, each_points, each_confidences))
            faces = [Face(*face) for face in zip(*numbers, strict=True)]
        found.append(sorted(faces, key=_area, reverse=True))
    return found


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _most_central(faces: Sequence[Face], height: int, width: int) -> Face:
    """The face whose box has its center nearest to the image's."""
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return min(faces, key=lambda face: np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - middle))
