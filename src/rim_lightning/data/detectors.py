"""The detectors of faces: YuNet, and MTCNN for comparison. Each takes batches and runs on any device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rim_lightning.data.alignment import (
    FIVE_POINT_TEMPLATE_112,
    TEMPLATE_SIZE,
    similarity_from_points,
    transform_points,
)
from rim_lightning.data.detector_choice import DetectorName, checked_detector
from rim_lightning.data.yunet import load_yunet, yunet_candidates

OVERLAP = 0.3
"""Share of intersection in union from which on two boxes show one face (OpenCV's default for YuNet)."""

BATCH_PIXELS = {"cpu": 1 << 19, "cuda": 1 << 25}
"""Number of pixels that are searched at a time. With more, a CPU needs more time for each."""


class Face(NamedTuple):
    """A face that a detector found in an image.

    Attributes:
        box: (4,) x0, y0, x1, y1 in pixels of the image.
        points: (5, 2) in pixels of the image, in the order of the scheme "five".
        confidence: Confidence of the detector, in [0, 1].
        fault: Why the face cannot be used, as the end of a sentence; None if it can.
    """

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    confidence: float
    fault: str | None = None

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        x0, y0, x1, y1 = self.box
        return float((x1 - x0) * (y1 - y0))

    @property
    def size(self) -> float:
        """Side of the aligned square in pixels of the image."""
        matrix = similarity_from_points(self.points, FIVE_POINT_TEMPLATE_112)
        return TEMPLATE_SIZE / float(np.hypot(matrix[0, 0], matrix[1, 0]))

    @property
    def roll(self) -> float:
        """Turn of the picture that makes the face upright, in degrees clockwise, from -180 to 180."""
        matrix = similarity_from_points(self.points, FIVE_POINT_TEMPLATE_112)
        return float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))

    @property
    def turned(self) -> int:
        """The quarter turn that is nearest to `roll`, in degrees clockwise: 0, 90, 180 or 270."""
        return round(self.roll / 90) % 4 * 90

    @property
    def residual(self) -> float:
        """Distance of the aligned points to the template (root mean square), as a share of its eye distance."""
        matrix = similarity_from_points(self.points, FIVE_POINT_TEMPLATE_112)
        return point_distance(transform_points(self.points, matrix), FIVE_POINT_TEMPLATE_112)


class Detector(Protocol):
    """What finds faces in images of one size.

    Attributes:
        sure: Confidence from which on a face needs no closer look.
        least: Smallest confidence of a face that is used.
    """

    sure: float
    least: float

    def sides(self, longer: int) -> tuple[int, ...]:
        """Return the sizes at which a picture is searched, until it shows a face that fills much of it.

        Args:
            longer: Longer side of the picture in pixels.

        Returns:
            Longer sides in pixels, in rising order.
        """

    def find(self, images: NDArray[np.uint8]) -> list[list[Face]]:
        """Find the faces of a batch.

        Args:
            images: (B, H, W, 3) uint8 RGB.

        Returns:
            For each image its faces in any order, several times if need be.
        """


class YuNetDetector:
    """YuNet finds faces of 30 to 500 px, so that a picture is searched at two sizes."""

    sure = 0.92
    least = 0.6
    candidate = 0.3  # smallest confidence in a first search

    def __init__(self, device: str) -> None:
        self.network = load_yunet(device)

    def sides(self, longer: int) -> tuple[int, ...]:
        """Return 160 to 640 px for large faces; for small ones up to three times the picture, if that is no frame."""
        large = min(max(longer, 160), 640)
        small = min(3 * longer, max(1920, min(3 * longer // 2, 2880)))
        return (large, small) if small > large else (large,)

    def find(self, images: NDArray[np.uint8]) -> list[list[Face]]:
        """Find the faces of a batch; see `Detector`."""
        batch = yunet_candidates(self.network, torch.from_numpy(images), self.candidate)
        return [_faces(*(column.numpy() for column in columns)) for columns in batch]


class MTCNNDetector:
    """MTCNN (Zhang et al., 2016) of facenet-pytorch, an optional package. It finds faces of 20 px or more."""

    sure = 1.01  # it is as confident of faces that lie on their side
    least = 0.9
    min_face = 20  # pixels

    def __init__(self, device: str) -> None:
        from facenet_pytorch import MTCNN

        self.network = MTCNN(keep_all=True, min_face_size=self.min_face, device=device).eval()

    def sides(self, longer: int) -> tuple[int, ...]:
        """Return the size of the picture, from 240 to 1920 px: MTCNN reduces it by itself to find large faces."""
        return (min(max(longer, 240), 1920),)

    def find(self, images: NDArray[np.uint8]) -> list[list[Face]]:
        """Find the faces of a batch; see `Detector`."""
        if min(images.shape[1:3]) < self.min_face:
            return [[] for _ in images]
        batch = zip(*self.network.detect(list(images), landmarks=True), strict=True)
        return [[] if boxes is None else _faces(boxes, points, confidences) for boxes, confidences, points in batch]


@cache
def load_detector(name: DetectorName, device: str) -> Detector:
    """Load a detector, once for each device.

    Args:
        name: Name of the detector.
        device: Device on which it runs.

    Returns:
        The detector.

    Raises:
        MissingExtra: If its packages are missing.
    """
    checked_detector(name)
    return MTCNNDetector(device) if name == "mtcnn" else YuNetDetector(device)


def search(detector: Detector, images: Sequence[NDArray[np.uint8]], device: str) -> list[list[Face]]:
    """Find the faces of images of any sizes. Images of one size are searched in batches of `BATCH_PIXELS`.

    Args:
        detector: The detector.
        images: (H, W, 3) uint8 RGB.
        device: Device of the detector.

    Returns:
        For each image its faces, each once, the most confident first.
    """
    indices_by_shape = defaultdict(list)
    for index, image in enumerate(images):
        indices_by_shape[image.shape].append(index)
    faces_of: list[list[Face]] = [[] for _ in images]
    pixels = BATCH_PIXELS["cpu" if device == "cpu" else "cuda"]
    for (height, width, _), indices in indices_by_shape.items():
        size = max(1, pixels // (height * width))
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            for index, faces in zip(part, detector.find(np.stack([images[index] for index in part])), strict=True):
                faces_of[index] = separate_faces(faces)
    return faces_of


def separate_faces(faces: Sequence[Face]) -> list[Face]:
    """Return one of each group of faces whose boxes overlap: the most confident of those without a fault, if any.

    Args:
        faces: Faces of one image. Those of confidence 0 that have a fault are left out.

    Returns:
        The remaining faces, those without a fault first, the most confident of each first.
    """
    import cv2

    corners = [(*face.box[:2], *(face.box[2:] - face.box[:2])) for face in faces]
    indices = cv2.dnn.NMSBoxes(corners, [face.confidence + (face.fault is None) for face in faces], 0.0, OVERLAP)
    return [faces[index] for index in indices]


def most_central(faces: Sequence[Face], height: int, width: int) -> Face:
    """Return the face whose box has its center nearest to the center of an image.

    Args:
        faces: Faces of the image, at least one.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        The face.
    """
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return min(faces, key=lambda face: np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - center))


def point_distance(points: NDArray, other: NDArray) -> float:
    """Return the distance of two sets of five points (root mean square), as a share of the eye distance of `other`.

    Args:
        points: (5, 2).
        other: (5, 2).

    Returns:
        The distance; infinity if the eyes of `other` coincide.
    """
    eyes = float(np.linalg.norm(other[0] - other[1]))
    return float(np.sqrt(((points - other) ** 2).sum(-1).mean())) / eyes if eyes else float("inf")


def _faces(boxes: NDArray, points: NDArray, confidences: NDArray) -> list[Face]:
    """Join columns (n, 4), (n, 5, 2) and (n,) into faces. Points that coincide are no face."""
    columns = (np.asarray(column, dtype=np.float64) for column in (boxes, points, confidences))
    rows = zip(*columns, strict=True)
    return [Face(box, five, float(confidence)) for box, five, confidence in rows if np.ptp(five, axis=0).any()]
