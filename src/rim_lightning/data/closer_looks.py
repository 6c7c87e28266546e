"""Look closer at faces of which a detector is not sure.

One look is not to be trusted: on a face that lies on its side a detector finds the eyes where an ear is, and is as
confident of them as of a small upright face. So such a face is cut out, turned upright by the points that were found,
and searched again in eight orientations, since it may be turned another way than they say. The way of which the
detector is most confident is looked at again and again, each look beginning with the points of the last one, until two
looks agree on where the points are. Their mean is taken. A face of which they never do is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detectors import Detector, Face, most_central, point_distance, search

UPRIGHT = 20
"""Largest roll in degrees of a face that needs no closer look."""

LOOKS = (tuple(range(0, 360, 45)), (0, -20, 20), (0, -20, 20), (0,), (0,), (0,))
"""Turns of the cut-out in each closer look at a face, in degrees clockwise from upright by the points of the last look.
A detector underestimates the roll, so that small turns are tried too."""

LOOK_SIDE = 160
"""Side of the cut-out of a closer look in pixels. The aligned square of the face has half of it."""

ANOTHER_WAY = 60
"""Difference of two rolls in degrees from which on they are two ways to turn a face."""

CLEARER = 0.03
"""By how much the confidence of a face must exceed that of the same place turned another way."""

TILT = 4
"""Largest difference of the rolls of two looks that agree, in degrees."""

STEADY = 0.12
"""Largest distance of the points of two looks that agree, as a share of the eye distance."""

ALIKE = 0.25
"""Distance of the points of the last two looks, as a share of the eye distance, up to which a face is used."""


class _Look(NamedTuple):
    """A face as one look at it finds it; its confidence is 0 if there is none. `image` is the number of its image."""

    image: int
    face: Face


def look_closer(
    network: Detector, images: Sequence[NDArray[np.uint8]], faces_of: Sequence[Sequence[Face]], device: str
) -> list[list[Face]]:
    """Look again at the faces of which the detector is not sure.

    Args:
        network: The detector.
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        faces_of: The faces of each image, as a search of whole images finds them.
        device: Device of the detector.

    Returns:
        The faces of each image. A face that was looked at has the points of the last looks, a fault if they do not
        agree, and confidence 0 if there is no face, or one that could as well be turned another way.
    """
    settled: list[list[Face]] = [[face for face in faces if _is_sure(face, network)] for faces in faces_of]
    pending = [
        _Look(index, face) for index, faces in enumerate(faces_of) for face in faces if not _is_sure(face, network)
    ]
    for number, turns in enumerate(LOOKS):
        before, pending = pending, []
        for last, look in zip(before, _look_again(network, images, before, turns, device), strict=True):
            if look.face.confidence == 0:
                settled[look.image].append(look.face)
            elif number == len(LOOKS) - 1 or (number > 0 and _agree(last.face, look.face)):
                settled[look.image].append(_settled(last.face, look.face))
            else:
                pending.append(look)
    return settled


def _is_sure(face: Face, network: Detector) -> bool:
    return face.confidence >= network.sure and abs(face.roll) <= UPRIGHT


def _agree(before: Face, face: Face) -> bool:
    """Return True if two looks at a face find the same points."""
    return _angle(before, face) <= TILT and point_distance(before.points, face.points) <= STEADY


def _settled(before: Face, face: Face) -> Face:
    """Take the mean of the last two looks at a face, or refuse it if they do not agree."""
    if point_distance(before.points, face.points) > ALIKE:
        return face._replace(fault="each look at it finds its points elsewhere")
    return face._replace(points=(before.points + face.points) / 2)


def _look_again(
    network: Detector, images: Sequence[NDArray], looks: list[_Look], turns: tuple[int, ...], device: str
) -> list[_Look]:
    """Cut out each face, turned upright by its points and then by each of `turns`, and find it there."""
    cut_outs = [_cut_out(images[look.image], look.face.points, turn) for look in looks for turn in turns]
    faces_of_crops = search(network, [crop for crop, _ in cut_outs], device)
    candidates_of: list[list[Face]] = [[] for _ in looks]
    for number, (faces, (_, to_image)) in enumerate(zip(faces_of_crops, cut_outs, strict=True)):
        central = [face for face in faces if _is_central(face)]
        if central:
            face = _mapped(most_central(central, LOOK_SIDE, LOOK_SIDE), to_image)
            candidates_of[number // len(turns)].append(face)
    return [
        look._replace(face=_clearest(candidates) if candidates else look.face._replace(confidence=0.0))
        for look, candidates in zip(looks, candidates_of, strict=True)
    ]


def _clearest(candidates: Sequence[Face]) -> Face:
    """Return the most confident of the faces found at one place, turned in different ways.

    If it is hardly more confident than another way to turn the face, the upright one is taken, as most photographs are
    upright. If none is upright, its confidence becomes 0.
    """
    best = max(candidates, key=lambda face: face.confidence)
    close = [face for face in candidates if face.confidence > best.confidence - CLEARER]
    if all(_angle(face, best) <= ANOTHER_WAY for face in close):
        return best
    upright = [face for face in close if abs(face.roll) <= UPRIGHT]
    return max(upright, key=lambda face: face.confidence) if upright else best._replace(confidence=0.0)


def _angle(face: Face, other: Face) -> float:
    """Return the difference of the rolls of two faces in degrees, from 0 to 180."""
    return abs((face.roll - other.roll + 180) % 360 - 180)


def _cut_out(image: NDArray[np.uint8], points: NDArray, turn: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the cut-out of a closer look, turned clockwise by degrees, and the matrix from it to the image."""
    import cv2

    square = template(LOOK_SIDE // 2, LOOK_SIDE // 4)
    middle = (LOOK_SIDE - 1) / 2
    matrix = similarity_from_points(
        points, transform_points(square, cv2.getRotationMatrix2D((middle, middle), -turn, 1.0))
    )
    back = cv2.invertAffineTransform(matrix)
    corners = transform_points(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * LOOK_SIDE, back)
    # Of a large image only the part around the face is resized. At least one pixel is left where the face is outside.
    last = np.array(image.shape[1::-1]) - 1
    left, top = np.floor(corners.min(axis=0)).clip(0, last).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).clip(0, last).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [left, top]
    crop, _, _ = align(image[top : bottom + 1, left : right + 1], moved, LOOK_SIDE, {}, None)
    return crop, np.asarray(back, dtype=np.float64)


def _is_central(face: Face) -> bool:
    """Return True if a face in the cut-out of a closer look is the one that was cut out."""
    return bool(np.linalg.norm(face.points.mean(axis=0) - LOOK_SIDE / 2) < LOOK_SIDE / 4)


def _mapped(face: Face, matrix: NDArray) -> Face:
    """Map a face by a matrix (2, 3). Its box becomes the smallest that holds the mapped box."""
    x0, y0, x1, y1 = face.box
    corners = transform_points(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), matrix)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return face._replace(box=box, points=transform_points(face.points, matrix))
