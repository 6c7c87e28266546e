"""Enrol a folder of pictures: a person a folder, or a person a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.images import image_files
from rim_lightning.gallery import Gallery, Template
from rim_lightning.recognizer import AlignedFace, Recognizer

BLOCK = 64  # pictures that are added to the gallery at a time


class Enrolment(NamedTuple):
    """Attributes: added, known: how many pictures were added, and were there already. several: pictures that show
    several faces, of which the largest was taken. left_out: picture -> why."""

    added: int
    known: int
    several: list[str]
    left_out: dict[str, str]


class _Found(NamedTuple):
    person: str
    source: str
    digest: str
    face: AlignedFace


def enrol(
    recognizer: Recognizer,
    gallery: Gallery,
    folder: Path,
    aligned: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Enrolment:
    """Add the pictures of a folder and all folders in it that are not in the gallery yet; one that was stopped goes on.

    Args:
        folder: the person of a picture is the first folder below this one that it lies in; of a picture right in it,
            the file's name without its ending.
        progress: wraps the pictures in a progress bar.

    Raises:
        ImageError, NotADirectoryError: the folder is none, or holds no picture.
    """
    files = image_files(folder)
    enrolled = gallery.enrolled()
    known, several, left_out = 0, [], {}

    def new() -> Iterator[_Found]:
        nonlocal known
        for path in progress(files):
            try:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                person = person_of(path, folder)
                if (person, digest) in enrolled:
                    known += 1
                    continue
                (face,) = recognizer.align(path, aligned)
            except (OSError, ValueError) as error:
                left_out[str(path)] = str(error)
                continue
            if face.faces > 1:
                several.append(str(path))
            enrolled.add((person, digest))
            yield _Found(person, str(path), digest, face)

    added = 0
    block: list[_Found] = []
    for each in new():
        block.append(each)
        if len(block) == BLOCK:
            added += _add(recognizer, gallery, block)
            block = []
    if block:
        added += _add(recognizer, gallery, block)
    if added:
        gallery.tidy()
    return Enrolment(added, known, several, left_out)


def person_of(path: Path, folder: Path) -> str:
    """The person of a picture below a folder; see `enrol`."""
    inside = path.relative_to(folder).parts
    return inside[0] if len(inside) > 1 else path.stem


def _add(recognizer: Recognizer, gallery: Gallery, block: list[_Found]) -> int:
    embeddings = recognizer.embed_gallery([found.face for found in block])
    gallery.add(Template(*found[:3], embedding) for found, embedding in zip(block, embeddings, strict=True))
    return len(block)
