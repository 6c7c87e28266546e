"""Find the face in a picture and align it to the five-point template."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.alignment import align, similarity_from_points, template
from rim_lightning.data.detection import find_face_in_box, find_faces
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DetectorName
from rim_lightning.data.detectors import Face, point_distance
from rim_lightning.data.face_notes import turned_note
from rim_lightning.data.images import MIN_SIDE, ImageError, read_image
from rim_lightning.files import printable
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.resolution import size_of_detail, without_repetition
from rim_lightning.types import to_unit

if TYPE_CHECKING:
    from rim_lightning.data.images import Picture

    FaceSource: TypeAlias = "Picture | AlignedFace"

Box = tuple[float, float, float, float]
Side = Literal["probe", "gallery"]
Aligned = bool | Literal["probe", "gallery", "both"]

SEVERAL = "the largest was taken"
"""End of the remark about a picture with several faces."""

ELSEWHERE = 0.5
"""Distance of the points of a face to the template, as a share of the eye distance, from which on it is not aligned."""

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
        faces: Number of usable faces in the picture. 0 if none was searched for.
        name: Name of the picture, for messages.
        side: Side of the square in pixels of the picture if the picture was enlarged, so that `size` is less.
        found: Where the face lies in the picture. None if none was searched for.
        number: Number of the face in the picture, from 1; 0 if none was searched for, or it was found in a given box.
        notes: What else a user should know about the face, each the end of a sentence that begins with the name.
    """

    pixels: Tensor
    size: float
    faces: int
    name: str
    side: float | None = None
    found: Face | None = None
    number: int = 0
    notes: tuple[str, ...] = ()

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

    @property
    def turned(self) -> int:
        """Degrees by which the picture was turned clockwise to make the face upright; 0 if none was searched for."""
        return 0 if self.found is None else self.found.turned

    @property
    def one_of_several(self) -> bool:
        """True if the picture shows several faces, of which nobody chose this one."""
        return any(note.endswith(SEVERAL) for note in self.notes)

    def content(self) -> bytes:
        """Return a digest of the pixels: copies of a picture have the same."""
        return hashlib.sha256(self.pixels.cpu().numpy().tobytes()).digest()

    def plain(self) -> dict[str, Any]:
        """Return the face for a JSON object, without its pixels."""
        return {
            "size": self.size,
            "pixels": self.pixels_across,
            "faces": self.faces,
            "found": self.plain_found(),
        }

    def plain_found(self) -> dict[str, Any] | None:
        """Return where the face lies in the picture, for a JSON object; None if it was not searched for."""
        return None if self.found is None else plain_face(self.found, self.number)


class _ReadPicture(NamedTuple):
    """A picture (H, W, 3) uint8 RGB, the factor by which its pixels were repeated, and its name for messages."""

    image: NDArray[np.uint8]
    factor: float
    name: str


@dataclass(frozen=True)
class FaceAligner:
    """Read pictures and align the largest face of each. Holds no network of RIM, so that loader processes start fast.

    Args:
        hr_size: Side S of an aligned face, in pixels.
        detector: Name of the detector.
        device: Device on which it runs.
        face: Which face of a picture is taken: its number, from 1; or the box x0, y0, x1, y1 in pixels in which it
            lies. None takes the largest.
    """

    hr_size: int
    detector: DetectorName = DEFAULT_DETECTOR
    device: str = "cpu"
    face: int | Box | None = None

    def align(
        self, pictures: FaceSource | Sequence[FaceSource], aligned: bool = False, name: str | None = None
    ) -> Iterator[AlignedFace]:
        """Yield one face of each picture: the largest, or the one that `face` names.

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
            picture = _read(source, label)
            yield self._whole_picture(picture) if aligned else self._chosen_face(picture)

    def find(self, picture: Picture, name: str | None = None) -> list[Face]:
        """Return the faces of a picture in the order of their numbers.

        Args:
            picture: The picture.
            name: Name of the picture in messages. By default its path.

        Returns:
            First the faces that can be used, the largest first, then the others.

        Raises:
            ImageError: If the picture cannot be used.
            FileNotFoundError: If there is no such file.
        """
        (faces,) = find_faces([_read(picture, name or _name_of(picture, 0, 1)).image], self.detector, self.device)
        return faces

    def align_all(self, picture: Picture, name: str | None = None) -> list[AlignedFace]:
        """Return all usable faces of a picture, the largest first.

        Args:
            picture: The picture.
            name: Name of the picture in messages. By default its path.

        Returns:
            At least one face.

        Raises:
            ImageError: If the picture cannot be used, or shows no usable face.
            FileNotFoundError: If there is no such file.
        """
        read = _read(picture, name or _name_of(picture, 0, 1))
        (faces,) = find_faces([read.image], self.detector, self.device)
        usable = usable_faces(faces, read.name)
        return [self._cut_out(read, face, len(usable), number) for number, face in enumerate(usable, start=1)]

    def _whole_picture(self, picture: _ReadPicture) -> AlignedFace:
        """Take a picture that is an aligned face already."""
        image, factor, name = picture
        height, width = image.shape[:2]
        if height != width:
            raise ImageError(f"{name} is {width} x {height} pixels: an aligned face is square.")
        pixels = _as_tensor(image)
        if width < self.hr_size:
            pixels = enlarge(pixels, self.hr_size)
        elif width > self.hr_size:
            pixels = reduce(pixels, self.hr_size)
        size = size_of_detail(image, np.array([(width - 1) / 2, (width - 1) / 2]), float(width), factor)
        return AlignedFace(pixels[0], size, 0, name, float(width) if size < width else None, notes=self._doubts(image))

    def _doubts(self, image: NDArray[np.uint8]) -> tuple[str, ...]:
        """Return a remark if the detector finds the face of an aligned picture elsewhere than on the template."""
        (faces,) = find_faces([image], self.detector, self.device)
        usable = [face for face in faces if face.fault is None]
        if not usable or point_distance(usable[0].points, template(len(image))) < ELSEWHERE:
            return ()
        return ("does not look aligned: its face lies elsewhere. Leave --aligned out to have it searched for",)

    def _chosen_face(self, picture: _ReadPicture) -> AlignedFace:
        """Search a picture and cut out the face that `face` names."""
        image, _, name = picture
        if isinstance(self.face, tuple):
            face_in_box = find_face_in_box(image, self.face, name, self.detector, self.device)
            return self._cut_out(picture, face_in_box, 1, 0)
        (faces,) = find_faces([image], self.detector, self.device)
        if self.face is None:
            usable = usable_faces(faces, name)
            notes = (f"shows {len(usable)} faces: {SEVERAL}",) if len(usable) > 1 else ()
            return self._cut_out(picture, usable[0], len(usable), 1, notes)
        if not 1 <= self.face <= len(faces):
            faces_in_words = {0: "no face", 1: "one face"}.get(len(faces), f"{len(faces)} faces")
            raise ImageError(f"{name} shows {faces_in_words}: there is no face {self.face}. rim faces numbers them.")
        chosen = faces[self.face - 1]
        if chosen.fault:
            raise ImageError(f"Face {self.face} of {name} cannot be used: {chosen.fault}.")
        return self._cut_out(picture, chosen, sum(face.fault is None for face in faces), self.face)

    def _cut_out(
        self, picture: _ReadPicture, face: Face, faces: int, number: int, notes: tuple[str, ...] = ()
    ) -> AlignedFace:
        """Cut out a face and align it."""
        image, factor, name = picture
        matrix = similarity_from_points(face.points, template(self.hr_size))
        size = face.size
        warped, _, _ = align(image, matrix, self.hr_size, {}, None)
        pixels = _as_tensor(warped)
        if size < self.hr_size:  # as in training: the face on a grid of its own size, enlarged
            pixels = enlarge(reduce(pixels, max(1, round(size))), self.hr_size)
        if face.turned:
            notes = (*notes, turned_note(face.turned))
        middle = (self.hr_size - 1) / 2
        center = np.asarray(np.linalg.solve(matrix[:, :2], middle - matrix[:, 2]), dtype=np.float64)
        detail = size_of_detail(image, center, size, factor)
        side = size if detail < size else None
        return AlignedFace(pixels[0], detail, faces, name, side, face, number, notes)


def judged_as(faces: Sequence[AlignedFace], size: float | None) -> list[AlignedFace]:
    """Return faces that are judged by a size that somebody knows better than the pixels tell it.

    Args:
        faces: The faces.
        size: Side in pixels, from `MIN_SIDE` to that of the square in the picture (`AlignedFace.pixels_across`),
            rounded up. None leaves the faces as they are.

    Returns:
        The faces, judged by that size.

    Raises:
        ValueError: If a face cannot have this size.
    """
    if size is None:
        return list(faces)
    if not MIN_SIDE <= size < float("inf"):
        raise ValueError(f"A face of {size:g} px cannot be judged: its side must be at least {MIN_SIDE} pixels.")
    for face in faces:
        pixels = math.ceil(face.pixels_across)
        if size > pixels:
            which = f"face {face.number}" if face.number > 1 else "the face"
            raise ValueError(
                f"{face.name}: {which} has {pixels} px in the picture, it cannot be judged as {size:g} px: give a size "
                "of no more than that."
            )
    return [replace(face, size=float(size), side=None) for face in faces]


def without_copies(faces: Sequence[AlignedFace]) -> list[AlignedFace]:
    """Return faces without those whose pixels are all those of one before: a copy of a picture is no second one."""
    first: dict[bytes, AlignedFace] = {}
    for face in faces:
        first.setdefault(face.content(), face)
    return list(first.values())


def usable_faces(faces: Sequence[Face], name: str) -> list[Face]:
    """Return the faces of a picture that can be used.

    Args:
        faces: What `find_faces` found.
        name: Name of the picture, for messages.

    Returns:
        At least one face, the largest first.

    Raises:
        ImageError: If there is none.
    """
    usable = [face for face in faces if face.fault is None]
    if not usable:
        advice = "cut out the part with the face, or give the aligned face and say so (--aligned, aligned=True)"
        if not faces:
            raise ImageError(f"{name} shows no face that could be found: {advice}.")
        raise ImageError(f"{name} shows no face that can be used, {faces[0].fault}: {advice}.")
    return usable


def plain_face(face: Face, number: int) -> dict[str, Any]:
    """Return a face for a JSON object.

    Args:
        face: The face.
        number: Its number in the picture.

    Returns:
        Number, box and points in pixels of the picture, size, confidence, turn in degrees clockwise, and fault.
    """
    return {
        "number": number,
        "box": [round(float(value), 1) for value in face.box],
        "points": [[round(float(value), 6) for value in point] for point in face.points],
        "size": round(face.size, 1),
        "confidence": round(face.confidence, 3),
        "turned": face.turned,
        "fault": face.fault,
    }


def is_aligned(aligned: Aligned, side: Side) -> bool:
    """Return True if the pictures of a side are aligned.

    Args:
        aligned: True or "both", False, or the side whose pictures are aligned.
        side: "probe" or "gallery".

    Returns:
        True if so.

    Raises:
        ValueError: If `aligned` is something else.
    """
    if aligned not in (True, False, "probe", "gallery", "both"):
        raise ValueError(f"aligned is {aligned!r}: choose probe, gallery or both (True), or False.")
    return aligned in (True, "both", side)


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


def _read(picture: Picture, name: str) -> _ReadPicture:
    """Decode a picture. One whose pixels were repeated is made smooth, because no face is found in blocks."""
    return _ReadPicture(*without_repetition(read_image(picture, name)), name)


def _as_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Convert (H, W, 3) uint8 to (1, 3, H, W) in [-1, 1]."""
    return to_unit(torch.from_numpy(image).permute(2, 0, 1))[None]


def _name_of(picture: Picture, number: int, count: int) -> str:
    if isinstance(picture, str | Path):
        return printable(str(picture))
    return "the picture" if count == 1 else f"picture {number + 1}"
