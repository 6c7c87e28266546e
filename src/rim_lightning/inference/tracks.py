"""Tracks of faces in a clip: faces are found in frames, linked over them, and the best pictures of each are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DetectorName
from rim_lightning.data.detectors import Face
from rim_lightning.data.face_tracker import FaceTracker
from rim_lightning.data.video import Frame

CHUNK = 8
"""Number of frames that are searched at a time. No more are in memory."""

SURROUNDING = 1.0
"""Distance from the middle of a face to the border of its picture, in sides of the face."""

SHARP_EDGES = 8.0
"""Mean size of the Laplacian, in gray levels, at which a face counts half as much as a perfectly sharp one."""

SHARPNESS_SIDE = 32  # pixels to which a face is brought before its sharpness is measured

Corners = tuple[float, float, float, float]


class TrackPicture(NamedTuple):
    """A picture of a face that was followed.

    Attributes:
        frame: Number of the frame, from 0.
        time: Its time in seconds.
        box: x0, y0, x1, y1 of the face in pixels of the frame.
        size: Side of the aligned square of the face in pixels.
        confidence: Confidence of the detector.
        score: How good the picture is, see `face_score`.
        image: (H, W, 3) uint8 RGB, the face with what surrounds it.
        within: The box in pixels of `image`.
    """

    frame: int
    time: Fraction
    box: Corners
    size: float
    confidence: float
    score: float
    image: NDArray[np.uint8]
    within: Corners


class FoundTrack(NamedTuple):
    """A face that was followed until it was lost.

    Attributes:
        number: Number of the track, from 1.
        frames: Number of frames in which it was found.
        pictures: Its best pictures, in the order of their frames.
    """

    number: int
    frames: int
    pictures: list[TrackPicture]


class TrackCollector:
    """Links faces to tracks, and keeps the best pictures of each track that goes on.

    Args:
        best: Number of pictures of a track that are kept.
    """

    def __init__(self, best: int) -> None:
        self._best = best
        self._tracker = FaceTracker()
        self._frames: dict[int, int] = {}
        self._pictures: dict[int, list[TrackPicture]] = {}

    def add(self, frame: Frame, faces: Sequence[Face]) -> list[FoundTrack]:
        """Add the faces of the next frame, and return the tracks that have ended before it."""
        usable = [face for face in faces if face.fault is None]
        numbers, ended = self._tracker.follow([face.box for face in usable], float(frame.time))
        for number, face in zip(numbers, usable, strict=True):
            self._frames[number] = self._frames.get(number, 0) + 1
            pictures, picture = self._pictures.get(number, []), cut_out(frame, face)
            if any(np.array_equal(picture.image, other.image) for other in pictures):
                continue  # a frame that the camera or the recorder repeated
            pictures = [*pictures, picture]
            pictures.sort(key=lambda picture: (-picture.score, picture.frame))
            self._pictures[number] = pictures[: self._best]
        return [self._ended(number) for number in ended]

    def finish(self) -> list[FoundTrack]:
        """Return the tracks that have not ended before the end of the clip."""
        return [self._ended(number) for number in sorted(self._frames)]

    def _ended(self, number: int) -> FoundTrack:
        pictures = sorted(self._pictures.pop(number), key=lambda picture: picture.frame)
        return FoundTrack(number, self._frames.pop(number), pictures)


def face_score(size: float, confidence: float, sharpness: float) -> float:
    """Return how good a picture of a face is, to choose among those of one person: the higher the better.

    It is the product of size, confidence of the detector, and sharpness from 0 to 1, e / (e + `SHARP_EDGES`).

    Args:
        size: Side of the aligned square in pixels.
        confidence: Confidence of the detector, in [0, 1].
        sharpness: e, the mean size of the Laplacian of the face in gray levels.

    Example:
        >>> face_score(40, 0.9, 8.0)
        18.0
    """
    return size * confidence * sharpness / (sharpness + SHARP_EDGES)


def cut_out(frame: Frame, face: Face) -> TrackPicture:
    """Cut a face and what surrounds it out of a frame, in the pixels of the frame.

    Args:
        frame: The frame.
        face: A face in it.

    Returns:
        The picture. It is square unless the border of the frame cuts it off.
    """
    height, width = frame.image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in face.box)
    reach = SURROUNDING * max(x1 - x0, y1 - y0, face.size)
    left, top = max(0, round((x0 + x1) / 2 - reach)), max(0, round((y0 + y1) / 2 - reach))
    right, bottom = min(width, round((x0 + x1) / 2 + reach)), min(height, round((y0 + y1) / 2 + reach))
    image = frame.image[top:bottom, left:right].copy()  # the frame itself is not kept
    inside = max(0.0, x0 - left), max(0.0, y0 - top), min(x1, right) - left, min(y1, bottom) - top
    score = face_score(face.size, face.confidence, _sharpness(image, inside))
    return TrackPicture(frame.number, frame.time, (x0, y0, x1, y1), face.size, face.confidence, score, image, inside)


def find_in_frames(
    frames: Iterable[Frame], detector: DetectorName, device: str
) -> Iterator[list[tuple[Frame, list[Face]]]]:
    """Search frames for faces, `CHUNK` at a time, on as many threads as torch has on the CPU.

    The faces of a frame do not depend on the number of threads, because each frame is searched alone. A frame is
    searched upright only: a clip says itself how it is turned.

    Args:
        frames: The frames.
        detector: Name of the detector.
        device: Device on which it runs.

    Yields:
        The frames of a chunk with their faces.
    """

    def search(chunk: list[Frame]) -> list[list[Face]]:
        return find_faces([frame.image for frame in chunk], detector, device, turn=False)

    chunk: list[Frame] = []
    with ThreadPoolExecutor(torch.get_num_threads() if device == "cpu" else 1) as pool:

        def searched(chunk: list[Frame]) -> list[tuple[Frame, list[Face]]]:
            parts = [[frame] for frame in chunk] if device == "cpu" else [chunk]
            faces_of = [faces for part in pool.map(search, parts) for faces in part]
            return list(zip(chunk, faces_of, strict=True))

        for frame in frames:
            chunk.append(frame)
            if len(chunk) == CHUNK:
                yield searched(chunk)
                chunk = []
        if chunk:
            yield searched(chunk)


def _sharpness(image: NDArray[np.uint8], box: Corners) -> float:
    """Return the mean size of the Laplacian of a face, in gray levels, at one size for all faces."""
    import cv2

    x0, y0, x1, y1 = (round(value) for value in box)
    face = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    if not face.size:
        return 0.0
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    side = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    resized = cv2.resize(gray, side, interpolation=cv2.INTER_AREA if min(gray.shape) > side[0] else cv2.INTER_LINEAR)
    return float(np.abs(cv2.Laplacian(resized.astype(np.float32), cv2.CV_32F)).mean())
