"""Search whole images for faces at several sizes, since a detector finds faces of a certain range of sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.detectors import Detector, Face, search, separate_faces

FILLING = 0.3
"""Side of a face, as a share of the shorter side of its image, from which on no smaller faces are searched for."""


def search_at_all_sizes(network: Detector, images: Sequence[NDArray[np.uint8]], device: str) -> list[list[Face]]:
    """Search each image at the sizes of the detector, until a face is found that fills much of it.

    Args:
        network: The detector.
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        device: Device of the detector.

    Returns:
        For each image its faces in pixels of that image, each once, the most confident first.
    """
    faces_of: list[list[Face]] = [[] for _ in images]
    sides_of = [network.sides(max(image.shape[:2])) for image in images]
    for number in range(max(map(len, sides_of), default=0)):
        indices = [
            index
            for index, image in enumerate(images)
            if number < len(sides_of[index]) and not any(_fills(face, image, network) for face in faces_of[index])
        ]
        resized = [_resized_image(images[index], sides_of[index][number]) for index in indices]
        for index, small, faces in zip(indices, resized, search(network, resized, device), strict=True):
            faces_of[index] += [_resized_face(face, small.shape, images[index].shape) for face in faces]
    return [separate_faces(faces) for faces in faces_of]


def _fills(face: Face, image: NDArray, network: Detector) -> bool:
    """Return True if a face that can be used fills much of an image: smaller faces are not what it shows."""
    return face.confidence >= network.least and face.area >= FILLING**2 * min(image.shape[:2]) ** 2


def _resized_image(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the image with its longer side at this length."""
    import cv2

    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale == 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _resized_face(face: Face, before: tuple[int, ...], after: tuple[int, ...]) -> Face:
    """Convert a face from pixels of an image of shape `before` to pixels of the same image at shape `after`."""
    corners = _rescaled(face.box.reshape(2, 2), before, after)
    return face._replace(box=corners.reshape(4), points=_rescaled(face.points, before, after))


def _rescaled(points: NDArray, before: tuple[int, ...], after: tuple[int, ...]) -> NDArray[np.float64]:
    return (points + 0.5) * [after[1] / before[1], after[0] / before[0]] - 0.5
