"""Find the face in a picture and align it to the five-point template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.alignment import align, similarity_from_points, template
from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DetectorName
from rim_lightning.data.images import MIN_SIDE, ImageError, read_image
from rim_lightning.files import printable
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.resolution import size_of_detail, without_repetition
from rim_lightning.types import to_unit

SHARP = 0.5
"""Share of `hr_size` from which on a gallery face is sharp: the teacher reads 56 px like 112 (docs/results.md)."""


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face on the five-point template. It may be given wherever a picture may.

    Attributes:
        pixels: (3, S, S), RGB in [-1, 1], where S is the `hr_size` of the model. A smaller face is enlarged to S.
        size: Side by which the face is judged, in pixels. It is that of the square that was cut out of the picture, or
            less if the picture was enlarged and has the detail of a smaller face. The threshold of a probe depends on
            it.
        faces: Number of faces in the picture, of which the largest is taken. 0 if none was searched for.
        name: Name of the picture, for messages.
        side: Side of the square in pixels of the picture if the picture was enlarged, so that `size` is less.
    """

    pixels: Tensor
    size: float
    faces: int
    name: str
    side: float | None = None

    @property
    def pixels_across(self) -> float:
        """Side of the square that was cut out, in pixels of the picture."""
        return self.size if self.side is None else self.side

    def remark(self) -> str | None:
        """Return a warning if the picture was enlarged."""
        if self.side is None:
            return None
        return (
            f"{self.name}: the face has {self.side:.0f} px, but no more detail than one of about {self.size:.0f} px: "
            f"it is judged as {self.size:.0f} px"
        )


if TYPE_CHECKING:
    from rim_lightning.data.images import Picture

    FaceSource = Picture | AlignedFace


@dataclass(frozen=True)
class FaceAligner:
    """Read pictures and align the largest face of each. Holds no network of RIM, so that loader processes start fast.

    Args:
        hr_size: Side S of an aligned face, in pixels.
        detector: Name of the detector.
        device: Device on which it runs.
    """

    hr_size: int
    detector: DetectorName = DEFAULT_DETECTOR
    device: str = "cpu"

    def align(
        self, pictures: FaceSource | Sequence[FaceSource], aligned: bool = False, name: str | None = None
    ) -> Iterator[AlignedFace]:
        """Yield the largest face of each picture.

        Args:
            pictures: One picture, a list of them, or a batch of arrays (B, H, W, C) or tensors (B, C, H, W). An
                `AlignedFace` is yielded as it is.
            aligned: True if each picture is an aligned square face already.
            name: Name of a picture in messages. By default its path or number.

        Yields:
            One face for each picture, in their order.

        Raises:
            ImageError: If there is no picture. If a picture cannot be used, shows no face, or is not square though
                `aligned` is True.
            FileNotFoundError: If there is no such file.
        """
        sources = as_list(pictures)
        if not sources:
            raise ImageError("There is no picture: give at least one.")
        for number, source in enumerate(sources):
            if isinstance(source, AlignedFace):
                if source.pixels.shape[-1] != self.hr_size:
                    raise ImageError(f"{source.name} was aligned for another model: give the picture itself.")
                yield source
                continue
            label = name or _name_of(source, number, len(sources))
            image, factor = without_repetition(read_image(source, label))
            yield self._whole_picture(image, factor, label) if aligned else self._largest_face(image, factor, label)

    def _whole_picture(self, image: NDArray[np.uint8], factor: float, name: str) -> AlignedFace:
        """Take a picture that is an aligned face already."""
        height, width = image.shape[:2]
        if height != width:
            raise ImageError(f"{name} is {width} x {height} pixels: an aligned face is square.")
        pixels = _as_tensor(image)
        if width < self.hr_size:
            pixels = enlarge(pixels, self.hr_size)
        elif width > self.hr_size:
            pixels = reduce(pixels, self.hr_size)
        size = size_of_detail(image, np.array([(width - 1) / 2, (width - 1) / 2]), float(width), factor)
        return AlignedFace(pixels[0], size, 0, name, float(width) if size < width else None)

    def _largest_face(self, image: NDArray[np.uint8], factor: float, name: str) -> AlignedFace:
        """Search a picture and cut out its largest face."""
        (faces,) = find_faces([image], self.detector, self.device)
        advice = "cut out the part with the face, or give the aligned face and say so (--aligned, aligned=True)"
        if not faces:
            raise ImageError(f"{name} shows no face that could be found: {advice}.")
        if faces[0].fault:
            raise ImageError(f"{name} shows no face that can be used, {faces[0].fault}: {advice}.")
        usable = [face for face in faces if face.fault is None]
        matrix = similarity_from_points(usable[0].points, template(self.hr_size))
        size = usable[0].size
        warped, _, _ = align(image, matrix, self.hr_size, {}, None)
        pixels = _as_tensor(warped)
        if size < self.hr_size:  # as in training: the face on a grid of its own size, enlarged
            pixels = enlarge(reduce(pixels, max(1, round(size))), self.hr_size)
        middle = (self.hr_size - 1) / 2
        center = np.asarray(np.linalg.solve(matrix[:, :2], middle - matrix[:, 2]), dtype=np.float64)
        detail = size_of_detail(image, center, size, factor)
        return AlignedFace(pixels[0], detail, len(usable), name, size if detail < size else None)


def judged_as(faces: Sequence[AlignedFace], size: float | None) -> list[AlignedFace]:
    """Return faces that are judged by a size that somebody knows better than the pixels tell it.

    Args:
        faces: The faces.
        size: Side in pixels, ≥ `MIN_SIDE`. None leaves the faces as they are.

    Raises:
        ValueError: If the size is less than that.
    """
    if size is None:
        return list(faces)
    if not MIN_SIDE <= size < float("inf"):
        raise ValueError(f"A face of {size:g} px cannot be judged: its side must be at least {MIN_SIDE} pixels.")
    return [replace(face, size=float(size), side=None) for face in faces]


def as_list(pictures: FaceSource | Sequence[FaceSource]) -> list[FaceSource]:
    """List one picture, a sequence of pictures, or a batch.

    Args:
        pictures: A picture, a sequence of them, or a batch of arrays (B, H, W, C) or tensors (B, C, H, W).

    Returns:
        The pictures one by one.
    """
    if isinstance(pictures, np.ndarray | Tensor) and pictures.ndim == 4:
        return [pictures[index] for index in range(len(pictures))]
    if isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes):
        return list(pictures)
    return [pictures]


def _as_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Convert (H, W, 3) uint8 to (1, 3, H, W) in [-1, 1]."""
    return to_unit(torch.from_numpy(image).permute(2, 0, 1))[None]


def _name_of(picture: Picture, number: int, count: int) -> str:
    if isinstance(picture, str | Path):
        return printable(str(picture))
    return "the picture" if count == 1 else f"picture {number + 1}"
