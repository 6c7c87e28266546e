"""Enrol a folder of pictures: a person a folder, or a person a file."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.images import image_files
from rim_lightning.gallery import Gallery, Template
from rim_lightning.recognizer import AlignedFace, Recognizer

BLOCK = 64  # pictures that are added to the gallery at a time


class Enrolment(NamedTuple):
    """Attributes: added, known: how many pictures were added, and were there already. several: pictures that show
    several faces, of which the largest was taken. small: pictures whose face has fewer pixels than the model's sharp
    ones, for which the error rates do not hold. left_out: picture -> why."""

    added: int
    known: int
    several: list[str]
    small: list[str]
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
    known, several, small, left_out = 0, [], [], {}

    def new() -> Iterator[_Found]:
        nonlocal known
        for path in progress(files):
            try:
                source = _written(path.resolve())
                person = person_of(path, folder)
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if (person, digest) in enrolled:
                    known += 1
                    continue
                (face,) = recognizer.align(path, aligned)
            except (OSError, ValueError) as error:
                left_out[ascii(path.name) if isinstance(error, UnicodeError) else str(path)] = str(error)
                continue
            if face.faces > 1:
                several.append(str(path))
            if face.size < recognizer.rim.hr_size:
                small.append(str(path))
            enrolled.add((person, digest))
            yield _Found(person, source, digest, face)

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
    return Enrolment(added, known, several, small, left_out)


def person_of(path: Path, folder: Path) -> str:
    """The person of a picture below a folder, in Unicode's composed form; see `enrol`."""
    inside = path.relative_to(folder).parts
    return unicodedata.normalize("NFC", _written(inside[0] if len(inside) > 1 else path.stem))


def _written(name: str | Path) -> str:
    """The name, which must be text; raises UnicodeError, in one sentence."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise UnicodeError(f"the name {ascii(str(name))} is no text (UTF-8): rename the file or folder.") from None
    return str(name)


def _add(recognizer: Recognizer, gallery: Gallery, block: list[_Found]) -> int:
    embeddings = recognizer.embed_gallery([found.face for found in block])
    gallery.add(Template(*found[:3], embedding) for found, embedding in zip(block, embeddings, strict=True))
    return len(block)
