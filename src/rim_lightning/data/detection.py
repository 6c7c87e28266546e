"""Search for faces and their five points, and judge what is found.

`find_faces` does so in three steps:

1. Each image is searched at the sizes that suit the detector (`face_search`).
2. Each face of which the detector is not sure is cut out and looked at again, until two looks find the same points
   (`closer_looks`). One look is not enough: a detector is sure of nonsense, too.
3. A face that is still doubtful gets a fault: the reason why it cannot be used.

An image without a usable face goes through all three again, turned by 90, 180 and 270 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rim_lightning.data.closer_looks import look_closer
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DetectorName
from rim_lightning.data.detectors import Detector, Face, load_detector, most_central, separate_faces
from rim_lightning.data.face_search import search_at_all_sizes
from rim_lightning.data.images import MIN_SIDE, ImageError

RESIDUAL = 0.3
"""Largest distance of the points to the template after the alignment, as a share of the eye distance."""


class CentralFace(NamedTuple):
    """The face nearest to the center of an image, and the number of usable faces in the image."""

    face: Face
    faces: int


def find_central_faces(
    images: Sequence[NDArray[np.uint8]], detector: DetectorName = DEFAULT_DETECTOR
) -> list[CentralFace | None]:
    """Find the usable face nearest to the center of each image.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        detector: Name of the detector.

    Returns:
        For each image its face, in pixels of that image; None if it shows no usable one.

    Raises:
        MissingExtra: If the packages of the detector are missing.
    """
    central: list[CentralFace | None] = []
    for faces, image in zip(find_faces(images, detector), images, strict=True):
        usable = [face for face in faces if face.fault is None]
        central.append(CentralFace(most_central(usable, *image.shape[:2]), len(usable)) if usable else None)
    return central


def find_faces(
    images: Sequence[NDArray[np.uint8]],
    detector: DetectorName = DEFAULT_DETECTOR,
    device: str = "cpu",
    turn: bool = True,
) -> list[list[Face]]:
    """Find the faces of each image: first those that can be used, then the others, the largest of each first.

    Images of one size are searched as one batch, on one thread, so that the result depends on the images alone.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        detector: Name of the detector.
        device: Device on which the detector runs.
        turn: True to search images without a usable face again, turned by quarter turns.

    Returns:
        For each image its faces, in pixels of that image.

    Raises:
        MissingExtra: If the packages of the detector are missing.
    """
    network = load_detector(detector, device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        faces_of = _judged_faces(network, images, device)
        without = [index for index, faces in enumerate(faces_of) if all(face.fault for face in faces)]
        for quarters in (1, 2, 3) if turn else ():
            turned = [np.rot90(images[index], -quarters) for index in without]
            for index, faces in zip(without, _judged_faces(network, turned, device), strict=True):
                usable = [face for face in faces if face.fault is None]
                faces_of[index] += [_turned_back(face, quarters, images[index].shape) for face in usable]
    finally:
        torch.set_num_threads(threads)
    return [sorted(separate_faces(faces), key=lambda face: (face.fault is not None, -face.area)) for faces in faces_of]


def find_face_in_box(
    image: NDArray[np.uint8],
    box: tuple[float, float, float, float],
    name: str,
    detector: DetectorName = DEFAULT_DETECTOR,
    device: str = "cpu",
) -> Face:
    """Find the face in a box: the box and what surrounds it is cut out and searched.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in pixels of the image.
        name: Name of the image, for messages.
        detector: Name of the detector.
        device: Device on which the detector runs.

    Returns:
        The usable face with its middle in the box that overlaps it most, in pixels of the image.

    Raises:
        ImageError: If the box lies outside of the image, or shows no usable face.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    in_words = ",".join(f"{value:g}" for value in box)
    if not (0 <= x0 < x1 and 0 <= y0 < y1 and x0 < width and y0 < height):
        raise ImageError(f"The box {in_words} does not lie in {name}, which has {width} x {height} pixels.")
    left, right = (int(np.clip(x, 0, width)) for x in (x0 - (x1 - x0) / 2, x1 + (x1 - x0) / 2 + 1))
    top, bottom = (int(np.clip(y, 0, height)) for y in (y0 - (y1 - y0) / 2, y1 + (y1 - y0) / 2 + 1))
    (faces,) = find_faces([np.ascontiguousarray(image[top:bottom, left:right])], detector, device)
    shift = np.array([left, top])
    moved = [face._replace(box=face.box + np.tile(shift, 2), points=face.points + shift) for face in faces]
    inside = [face for face in moved if _holds(box, (face.box[:2] + face.box[2:]) / 2)]
    usable = [face for face in inside if face.fault is None]
    if usable:
        return max(usable, key=lambda face: _overlap(face.box, np.array(box)))
    if inside:
        raise ImageError(f"The box {in_words} of {name} shows no face that can be used: {inside[0].fault}.")
    raise ImageError(f"The box {in_words} of {name} shows no face that could be found: rim faces shows where they are.")


def _holds(box: tuple[float, float, float, float], point: NDArray) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _overlap(box: NDArray, other: NDArray) -> float:
    """Return the intersection of two boxes as a share of their union."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    common = float(np.prod((high - low).clip(0)))
    return common / (float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - common)


def _judged_faces(network: Detector, images: Sequence[NDArray[np.uint8]], device: str) -> list[list[Face]]:
    """Search images as they lie, look closer, and judge each face."""
    faces_of = look_closer(network, images, search_at_all_sizes(network, images, device), device)
    return [
        [face._replace(fault=face.fault or _fault(face, image.shape, network)) for face in faces]
        for faces, image in zip(faces_of, images, strict=True)
    ]


def _fault(face: Face, shape: tuple[int, ...], network: Detector) -> str | None:
    """Return why a face cannot be used, or None."""
    if face.confidence < network.least:
        return f"the detector is not sure of it (confidence {face.confidence:.2f}; at least {network.least})"
    if face.residual > RESIDUAL:
        return (
            f"its five points do not lie as those of a face (off by {face.residual:.0%} of the eye distance; at most "
            f"{RESIDUAL:.0%})"
        )
    size = face.size
    if size < MIN_SIDE:
        return f"it has {size:.1f} px; at least {MIN_SIDE}"
    outside = ((face.points < -0.5) | (face.points > np.array(shape[1::-1]) - 0.5)).any(axis=1)
    if outside.any():
        return "the border of the picture cuts through it"
    return None


def _turned_back(face: Face, turns: int, shape: tuple[int, ...]) -> Face:
    """Convert a face of an image turned clockwise by quarter turns to pixels of the image, of this shape."""
    corners, points = face.box.reshape(2, 2), face.points
    heights = (shape[0], shape[1]) * 2  # of the image before each of the turns that are taken back
    for turn in range(turns, 0, -1):
        height = heights[turn - 1]
        corners, points = (np.stack([xy[:, 1], height - 1 - xy[:, 0]], axis=1) for xy in (corners, points))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return face._replace(box=box, points=points)
