"""Enrol a folder of pictures: a person a folder, or a person a file."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rim_lightning.data.images import image_files
from rim_lightning.gallery.embedded_folder import EmbeddedFolder
from rim_lightning.gallery.index import Gallery, Template
from rim_lightning.inference.faces import SHARP, AlignedFace
from rim_lightning.inference.recognizer import Recognizer

BLOCK = 64  # pictures that are added to the gallery at a time
EMBEDDED_BLOCK = 32_768  # at least; of pictures that are embedded already


class Enrollment(NamedTuple):
    """Attributes: added, known: how many pictures were added, and were there already. several: pictures that show
    several faces, of which the largest was taken. small: pictures whose face is not sharp (`recognizer.SHARP`), for
    which the error rates do not hold. left_out: picture -> why.
    """

    added: int
    known: int
    several: list[str]
    small: list[str]
    left_out: dict[str, str]


class EmbeddedEnrollment(NamedTuple):
    """Attributes: as of `Enrollment`, in numbers; the files of the embeddings have the names."""

    added: int
    known: int
    several: int
    small: int
    left_out: int


class _Found(NamedTuple):
    person: str
    source: str
    digest: str
    face: AlignedFace


def enroll(
    recognizer: Recognizer,
    gallery: Gallery,
    folder: Path,
    aligned: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Enrollment:
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
                source = written(path.resolve())
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
            if face.size < SHARP * recognizer.rim.hr_size:
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
    return Enrollment(added, known, several, small, left_out)


def enrol_embedded(
    gallery: Gallery, folder: EmbeddedFolder, progress: Callable[[Iterable], Iterable] = iter
) -> EmbeddedEnrollment:
    """Add the pictures that rim-embed has embedded and that are not in the gallery yet, as `enroll` would add them.

    Args:
        progress: wraps the numbers of the files in a progress bar.

    Raises:
        ValueError: the embeddings are those of probes or of another model than the gallery's, are not finished, or a
            file is damaged.
    """
    check_embedded(folder, gallery.fingerprint)
    enrolled = gallery.enrolled()
    added = known = several = small = left_out = 0
    block: list[Template] = []
    for number in progress(folder.shards):
        table = folder.read(number)
        here = table.filter(table["left_out"].is_null()).combine_chunks()
        left_out += len(table) - len(here)
        vectors = here["embedding"].chunk(0).flatten().to_numpy() if len(here) else np.empty(0, np.float32)
        embeddings = torch.from_numpy(vectors.reshape(-1, folder.manifest.embedding_size).copy())
        columns = (here[name].to_pylist() for name in ("person", "source", "digest", "faces", "size"))
        for person, source, digest, faces, size, embedding in zip(*columns, embeddings, strict=True):
            if (person, digest) in enrolled:
                known += 1
                continue
            enrolled.add((person, digest))
            several += faces > 1
            small += size < SHARP * folder.manifest.hr_size
            block.append(Template(person, os.path.join(folder.manifest.pictures, source), digest, embedding))
        if len(block) >= EMBEDDED_BLOCK or number == folder.shards[-1]:
            gallery.add(block)
            added += len(block)
            block = []
    if added:
        gallery.tidy()
    return EmbeddedEnrollment(added, known, several, small, left_out)


def check_embedded(folder: EmbeddedFolder, fingerprint: str) -> None:
    """Raises ValueError unless the embeddings are templates of the model of that fingerprint, and all are there."""
    manifest = folder.manifest
    if manifest.side != "gallery":
        raise ValueError(
            f"{folder.path} holds embeddings of probes, a gallery those of sharp pictures: embed the pictures with "
            "side=gallery, into another output."
        )
    if manifest.model != fingerprint:
        raise ValueError(
            f"{folder.path} was made by the model {manifest.model}, not by {fingerprint}: embeddings of two models do "
            "not mix. Embed the pictures again, into another output."
        )
    if missing := len(folder.missing()):
        raise ValueError(
            f"{folder.path} is not finished, {missing} of {len(folder.shards)} files are missing: give the command of "
            "rim-embed again."
        )


def person_of(path: Path, folder: Path) -> str:
    """The person of a picture below a folder, in Unicode's composed form; see `enroll`."""
    inside = path.relative_to(folder).parts
    return unicodedata.normalize("NFC", written(inside[0] if len(inside) > 1 else path.stem))


def written(name: str | Path) -> str:
    """The name, which must be text; raises UnicodeError, in one sentence."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise UnicodeError(f"the name {str(name)!a} is no text (UTF-8): rename the file or folder.") from None
    return str(name)


def _add(recognizer: Recognizer, gallery: Gallery, block: list[_Found]) -> int:
    embeddings = recognizer.embed_gallery([found.face for found in block])
    gallery.add(Template(*found[:3], embedding) for found, embedding in zip(block, embeddings, strict=True))
    return len(block)
