"""Search for faces and their five points, and judge what is found.

A detector that looks once is not to be trusted: on a face that lies on its side it finds the eyes where an ear is, and
is as confident of them as of a small upright face. So each face of which it is not sure is cut out, turned by the
points that were found, and looked at again in eight orientations. The most confident of them is looked at again, until
two looks at the upright face agree. A face of which they never do is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DetectorName
from rim_lightning.data.detectors import Detector, Face, load_detector, point_distance, search, separate_faces
from rim_lightning.data.images import MIN_SIDE, ImageError

FILLING = 0.3
"""Side of a face, as a share of the shorter side of its image, from which on no smaller faces are searched for."""

UPRIGHT = 20
"""Largest roll in degrees of a face that needs no closer look."""

LOOKS = (tuple(range(0, 360, 45)), (0, -20, 20), (0, -20, 20), (0,), (0,), (0,))
"""Turns of the picture in each closer look at a face, in degrees clockwise. Each begins where the last one found the
points, upright by them. A detector underestimates the roll, so that small turns are tried too."""

LOOK_SIDE = 160
"""Side of the picture of a closer look in pixels. The aligned square of the face has half of it."""

ANOTHER_WAY = 60
"""Difference of two rolls in degrees from which on they are two ways to turn a face."""

CLEARER = 0.03
"""By how much the confidence of a face must exceed that of the same place turned another way."""

TILT = 4
"""Largest difference of the rolls of two looks in degrees after which no other look is needed."""

STEADY = 0.12
"""Distance of the points of two looks, as a share of the eye distance, after which no other look is needed."""

ALIKE = 0.25
"""Distance of the points of the last two looks, as a share of the eye distance, up to which a face is used."""

RESIDUAL = 0.3
"""Largest distance of the points to the template after the alignment, as a share of the eye distance."""


class _Look(NamedTuple):
    """A face that is looked at, in the image of this number."""

    image: int
    face: Face
    moved: float = 0.0  # distance of its points to those of the look before, as a share of the eye distance
    tilt: float = 0.0  # difference of its roll to that of the look before, in degrees


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
        central.append(CentralFace(_most_central(usable, *image.shape[:2]), len(usable)) if usable else None)
    return central


def find_faces(
    images: Sequence[NDArray[np.uint8]], detector: DetectorName = DEFAULT_DETECTOR, device: str = "cpu"
) -> list[list[Face]]:
    """Find the faces of each image: first those that can be used, then the others, the largest of each first.

    A picture that shows no face is also searched turned by 90, 180 and 270 degrees. Images of one size are searched as
    one batch, on one thread, so that the result depends on the images alone.

    Args:
        images: (H, W, 3) uint8 RGB arrays of any sizes.
        detector: Name of the detector.
        device: Device on which the detector runs.

    Returns:
        For each image its faces, in pixels of that image.

    Raises:
        MissingExtra: If the packages of the detector are missing.
    """
    network = load_detector(detector, device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        faces_of = _search_at_all_sizes(network, images, device)
        missing = [index for index, faces in enumerate(faces_of) if not faces]
        for turns in (1, 2, 3):
            turned = _search_at_all_sizes(network, [np.rot90(images[index], -turns) for index in missing], device)
            for index, faces in zip(missing, turned, strict=True):
                faces_of[index] += [_turned_back(face, turns, images[index].shape) for face in faces]
        looks = [_Look(index, face) for index, faces in enumerate(faces_of) for face in separate_faces(faces)]
        settled = _looked_at(network, images, looks, device)
    finally:
        torch.set_num_threads(threads)
    results = []
    for index, image in enumerate(images):
        faces = separate_faces([look.face for look in settled if look.image == index])
        judged = [face._replace(fault=face.fault or _fault(face, image.shape, network)) for face in faces]
        results.append(sorted(judged, key=lambda face: (face.fault is not None, -_area(face))))
    return results


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
    return face.confidence >= network.least and _area(face) >= FILLING**2 * min(image.shape[:2]) ** 2


def _looked_at(network: Detector, images: Sequence[NDArray], looks: list[_Look], device: str) -> list[_Look]:
    """Look at the faces of which the detector is not sure again, until their points stay where they are."""
    settled = [look for look in looks if look.face.confidence >= network.sure and abs(look.face.roll) <= UPRIGHT]
    pending = [look for look in looks if not (look.face.confidence >= network.sure and abs(look.face.roll) <= UPRIGHT)]
    for number, turns in enumerate(LOOKS):
        after = _look_once(network, images, pending, turns, device)
        last = number == len(LOOKS) - 1
        done = [
            look.face.confidence == 0 or last or (number > 0 and look.tilt <= TILT and look.moved <= STEADY)
            for look in after
        ]
        settled += [_settled(before, look) for before, look, ends in zip(pending, after, done, strict=True) if ends]
        pending = [look for look, ends in zip(after, done, strict=True) if not ends]
    return settled


def _settled(before: _Look, look: _Look) -> _Look:
    """Take the mean of the last two looks at a face, or refuse it if they do not agree."""
    if look.face.confidence == 0:
        return look
    if look.moved > ALIKE:
        return look._replace(face=look.face._replace(fault="each look at it finds its points elsewhere"))
    return look._replace(face=look.face._replace(points=(before.face.points + look.face.points) / 2))


def _look_once(
    network: Detector, images: Sequence[NDArray], looks: list[_Look], turns: tuple[int, ...], device: str
) -> list[_Look]:
    """Cut out each face, turned upright by its points, and find it there.

    A face has confidence 0 if it is not found, or as much a face when it is turned another way.
    """
    cut_outs = [_cut_out(images[look.image], look.face.points, turn) for look in looks for turn in turns]
    faces_of_crops = search(network, [crop for crop, _ in cut_outs], device)
    after = []
    for position, look in enumerate(looks):
        candidates = []
        for index in range(position * len(turns), (position + 1) * len(turns)):
            central = [face for face in faces_of_crops[index] if _is_central(face)]
            if central:
                nearest = _most_central(central, LOOK_SIDE, LOOK_SIDE)
                candidates.append(_mapped(nearest, cut_outs[index][1]))
        if not candidates:
            after.append(look._replace(face=look.face._replace(confidence=0.0)))
            continue
        face = _clearest(candidates)
        moved = point_distance(look.face.points, face.points)
        after.append(_Look(look.image, face, moved, _angle(look.face, face)))
    return after


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


def _mapped(face: Face, matrix: NDArray) -> Face:
    """Map a face by a matrix (2, 3). Its box becomes the smallest that holds the mapped box."""
    x0, y0, x1, y1 = face.box
    corners = transform_points(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), matrix)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return face._replace(box=box, points=transform_points(face.points, matrix))


def _cut_out(image: NDArray[np.uint8], points: NDArray, turn: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the picture of a closer look, turned clockwise by degrees, and the matrix from it to the image."""
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
    """Return True if a face in the picture of a closer look is the one that was cut out."""
    return bool(np.linalg.norm(face.points.mean(axis=0) - LOOK_SIDE / 2) < LOOK_SIDE / 4)


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


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _most_central(faces: Sequence[Face], height: int, width: int) -> Face:
    """Return the face whose box has its center nearest to the center of the image."""
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return min(faces, key=lambda face: np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - center))
