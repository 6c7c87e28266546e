"""People whose photographs or true probes are searched for faces, as commands do it: what a user's rates come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.images import ImageError, read_content, read_image
from rim_lightning.functional.camera import camera_reduced, seeded_draws
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.resize import bicubic, round_to_8bit
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind
from rim_lightning.inference.calibration import PROBE_SIZES
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.people import People
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.verdict import TRUE_PROBES
from rim_lightning.types import to_unit

MIN_PROBES = 20
"""Smallest number of true probes near a size of which thresholds are chosen for it."""

WHOLE_PICTURES = ("bicubic", "camera")
"""Ways of reducing whole photographs."""

Pictures = Sequence[tuple[str, Path]]
"""(person, picture) of each picture."""

Progress = Callable[[Pictures], Iterable[tuple[str, Path]]]


class Measured(NamedTuple):
    """People, and the pictures that could not be used.

    Attributes:
        people: Embeddings of the people.
        left_out: Picture -> one sentence that says why it cannot be used. A probe that can be read and shows no usable
            face is counted in `people.not_acquired` besides.
    """

    people: People
    left_out: dict[str, str]


def people_of_photographs(
    recognizer: Recognizer,
    photographs: Pictures,
    title: str,
    sizes: Sequence[int] = PROBE_SIZES,
    kind: ProbeKind = CLEAN,
    progress: Progress = iter,
) -> Measured:
    """Embed sharp photographs, and the same photographs reduced until their faces have each size.

    The faces of the reduced photographs are searched for anew. One in which none is found counts as not acquired.

    Args:
        recognizer: The model, with its detector.
        photographs: Person and path of each photograph.
        title: Name of the set of people.
        sizes: Sides of the faces in pixels, ascending. A photograph whose face is smaller has none of that size.
        kind: How the photographs are reduced. Nothing is moved: that the detector does.
        progress: Wraps the photographs in a progress bar.

    Returns:
        The people.

    Raises:
        ValueError: If no photograph can be used.
    """
    rows: list[str] = []
    sharp: list[Tensor] = []
    probes: dict[int, dict[int, Tensor]] = {size: {} for size in sizes}  # size -> row -> embedding
    lost = dict.fromkeys(sizes, 0)
    left_out: dict[str, str] = {}
    digest = hashlib.sha256()
    found = _aligned(recognizer, photographs, left_out, digest, progress)
    for number, (person, image, face) in enumerate(found):
        smaller = [size for size in sizes if size <= face.pixels_across]
        for size, embedding in _reduced_probes(recognizer, image, face.pixels_across, smaller, kind, number).items():
            if embedding is None:
                lost[size] += 1
            else:
                probes[size][len(rows)] = embedding
        rows.append(person)
        sharp.append(recognizer.embed_gallery([face])[0])
    if not rows:
        raise ValueError(f"{title} has no photograph that can be used: {_first(left_out)}")
    sizes = [size for size in sizes if probes[size]]
    by_size = {size: _placed(probes[size], len(rows)) for size in sizes}
    people = People(
        title,
        digest.hexdigest(),
        False,
        kind,
        _numbered(rows),
        torch.stack(sharp),
        probes={size: embeddings for size, (embeddings, _) in by_size.items()},
        teacher={},
        has_probe={size: has for size, (_, has) in by_size.items()},
        not_acquired={size: lost[size] / (lost[size] + len(probes[size])) for size in sizes},
        made=f"{kind.in_words()} of whole photographs, faces found by {recognizer.aligner.detector}",
    )
    return Measured(people, left_out)


def _reduced_probes(
    recognizer: Recognizer, image: NDArray[np.uint8], side: float, sizes: Sequence[int], kind: ProbeKind, seed: int
) -> dict[int, Tensor | None]:
    """Reduce a picture until its face, of some side, has each size: its embedding, or None where no face is found."""
    found: dict[int, AlignedFace] = {}
    for size in sizes:
        try:
            (found[size],) = recognizer.align(reduced_picture(image, size / side, kind, seed), name=f"at {size} px")
        except ImageError:
            continue
    of_size: dict[int, Tensor | None] = dict.fromkeys(sizes)
    if found:
        of_size |= zip(found, recognizer.embed_probes(list(found.values())), strict=True)
    return of_size


def people_of_probes(
    recognizer: Recognizer,
    probes: Pictures,
    gallery: Pictures,
    title: str,
    progress: Progress = iter,
) -> Measured:
    """Embed true probes of known people, and sharp pictures of them.

    A probe belongs to the nearest of `PROBE_SIZES`; a size with fewer than `MIN_PROBES` is left out.

    Args:
        recognizer: The model, with its detector.
        probes: Person and path of each probe.
        gallery: Person and path of each sharp picture. People who are on one side alone are strangers.
        title: Name of the set of people.
        progress: Wraps pictures in a progress bar.

    Returns:
        The people.

    Raises:
        ValueError: If no sharp picture can be used, or there are too few probes of every size.
    """
    left_out: dict[str, str] = {}
    digest = hashlib.sha256()
    rows: list[str] = []
    sharp: dict[int, Tensor] = {}
    for person, _, face in _aligned(recognizer, gallery, left_out, digest, progress):
        sharp[len(rows)] = recognizer.embed_gallery([face])[0]
        rows.append(person)
    if not sharp:
        raise ValueError(f"The gallery of {title} has no picture that can be used: {_first(left_out)}")
    near: dict[int, dict[int, Tensor]] = {}
    without_face: list[str] = []
    for person, _, face in _aligned(recognizer, probes, left_out, digest, progress, without_face):
        size = min(PROBE_SIZES, key=lambda size: abs(math.log(size / face.size)))
        near.setdefault(size, {})[len(rows)] = recognizer.embed_probes([face])[0]
        rows.append(person)
    sizes = _measured_sizes(near, title, left_out)
    by_size = {size: _placed(near[size], len(rows)) for size in sizes}
    embeddings, has_sharp = _placed(sharp, len(rows))
    searched = len(rows) - len(sharp) + len(without_face)
    people = People(
        title,
        digest.hexdigest(),
        False,
        CLEAN,
        _numbered(rows),
        embeddings,
        probes={size: placed for size, (placed, _) in by_size.items()},
        teacher={},
        has_sharp=has_sharp,
        has_probe={size: has for size, (_, has) in by_size.items()},
        not_acquired=dict.fromkeys(sizes, len(without_face) / searched),  # nobody knows the size of what is not found
        made=f"{TRUE_PROBES}, faces found by {recognizer.aligner.detector}",
    )
    return Measured(people, left_out)


def _measured_sizes(near: dict[int, dict[int, Tensor]], title: str, left_out: dict[str, str]) -> list[int]:
    """Return the sizes with enough probes; raise ValueError if there is none."""
    sizes = sorted(size for size, found in near.items() if len(found) >= MIN_PROBES)
    if sizes:
        return sizes
    counts = ", ".join(f"{len(near[size])} of about {size} px" for size in sorted(near)) or "none"
    raise ValueError(
        f"{title} has too few probes with a face ({counts}): give at least {MIN_PROBES} of a size. {_first(left_out)}"
    )


def reduced_picture(image: NDArray[np.uint8], scale: float, kind: ProbeKind, seed: int) -> NDArray[np.uint8]:
    """Reduce a whole picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: Factor below 1 of its sides.
        kind: "bicubic" or "camera", and nothing moved.
        seed: Seed of what is random.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        ValueError: If the kind is another one.
    """
    if kind.degradation not in WHOLE_PICTURES or kind.misalignment is not None:
        raise ValueError(f"Whole pictures are reduced by {' or '.join(WHOLE_PICTURES)}, got {kind.in_words()}.")
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    pixels = to_unit(torch.from_numpy(image).permute(2, 0, 1))[None]
    if kind.degradation == "bicubic":
        small = round_to_8bit(bicubic(pixels, height, width))
    else:
        square = max(image.shape[:2])
        pixels = torch.nn.functional.pad(
            pixels, (0, square - image.shape[1], 0, square - image.shape[0]), mode="replicate"
        )
        sizes = torch.tensor([max(height, width)])
        small = camera_reduced(pixels, sizes, seeded_draws([seed]))[..., :height, :width]
    return to_pixels(small[0])


def _aligned(
    recognizer: Recognizer,
    pictures: Pictures,
    left_out: dict[str, str],
    digest: Any,
    progress: Progress,
    without_face: list[str] | None = None,
) -> Iterator[tuple[str, NDArray[np.uint8], AlignedFace]]:
    """Yield person, picture and face of each picture that can be used. The digest takes in their content.

    Pictures that can be read, but show no usable face, are added to `without_face`.
    """
    for person, path in progress(pictures):
        image = None
        try:
            content = read_content(path)
            image = read_image(content, str(path))
            (face,) = recognizer.align(image, name=str(path))
        except (OSError, ValueError) as error:
            left_out[str(path)] = str(error)
            if image is not None and without_face is not None:
                without_face.append(str(path))
            continue
        digest.update(hashlib.sha256(content).digest())
        yield person, image, face


def _placed(embedding_of: dict[int, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Place embeddings by their rows: (count, E), zeros where there is none, and (count,) bool, where there is one."""
    rows = list(embedding_of)
    known = torch.stack(list(embedding_of.values()))
    embeddings, has = torch.zeros(count, known.shape[1]), torch.zeros(count, dtype=torch.bool)
    embeddings[rows], has[rows] = known, True
    return embeddings, has


def _numbered(people: Sequence[str]) -> Tensor:
    """Return a number for each person, (N,) int64."""
    numbers = {person: number for number, person in enumerate(sorted(set(people)))}
    return torch.tensor([numbers[person] for person in people])


def _first(left_out: dict[str, str]) -> str:
    return next(iter(left_out.values()), "There is none")
