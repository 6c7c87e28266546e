"""Search whole images for faces: at several sizes, and lying on their side.

A detector finds faces of a certain range of sizes, so that an image is searched at several. The search of an image ends
with the size at which a face is found that fills much of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.detectors import Detector, Face, search, separate_faces

FILLING = 0.3
"""Side of a face, as a share of the shorter side of its image, from which on no smaller faces are searched for."""


def search_images(network: Detector, images: Sequence[NDArray[np.uint8]], device: str) -> list[list[Face]]:
    """Search images, and those that show no face also turned by 90, 180 and 270 degrees.

    Args:
        network: The detector.
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        device: Device of the detector.

    Returns:
        For each image its faces in pixels of that image, each once, the most confident first.
    """
    faces_of = _search_at_all_sizes(network, images, device)
    missing = [index for index, faces in enumerate(faces_of) if not faces]
    for quarters in (1, 2, 3):
        turned_images = [np.rot90(images[index], -quarters) for index in missing]
        turned_faces = _search_at_all_sizes(network, turned_images, device)
        for index, faces in zip(missing, turned_faces, strict=True):
            faces_of[index] += [_turned_back(face, quarters, images[index].shape) for face in faces]
    return [separate_faces(faces) for faces in faces_of]


def _search_at_all_sizes(network: Detector, images: Sequence[NDArray[np.uint8]], device: str) -> list[list[Face]]:
    """Search each image at the sizes of the detector, until a face is found that fills much of the image."""
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


def _turned_back(face: Face, turns: int, shape: tuple[int, ...]) -> Face:
    """Convert a face of an image turned clockwise by quarter turns to pixels of the image, of this shape."""
    corners, points = face.box.reshape(2, 2), face.points
    heights = (shape[0], shape[1]) * 2  # of the image before each of the turns that are taken back
    for turn in range(turns, 0, -1):
        height = heights[turn - 1]
        corners, points = (np.stack([xy[:, 1], height - 1 - xy[:, 0]], axis=1) for xy in (corners, points))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return face._replace(box=box, points=points)


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
