"""Enroll a folder of pictures in a gallery: one person per folder, or one person per file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rim_lightning.data.listing import image_files
from rim_lightning.files import file_digest
from rim_lightning.gallery.embedded_folder import EmbeddedFolder
from rim_lightning.gallery.index import Gallery, Template
from rim_lightning.inference.faces import SHARP, AlignedFace
from rim_lightning.inference.recognizer import Recognizer

BLOCK = 64
"""Number of pictures that are added to the gallery at a time."""

EMBEDDED_BLOCK = 32_768
"""Smallest number of embedded pictures that are added to the gallery at a time."""


class Enrollment(NamedTuple):
    """Counts and names of the pictures of a folder, by what became of them.

    Attributes:
        added: Number of pictures that were added.
        already_enrolled: Number of pictures that the gallery had already.
        several: Pictures with several faces, of which the largest was taken.
        small: Pictures whose face is not sharp (`faces.SHARP`). Error rates do not hold for them.
        left_out: Picture -> reason why it was left out.
    """

    added: int
    already_enrolled: int
    several: list[str]
    small: list[str]
    left_out: dict[str, str]


class EmbeddedEnrollment(NamedTuple):
    """Counts of the pictures of an embedded folder. Their names are in the folder's files.

    Attributes:
        added: Number of pictures that were added.
        already_enrolled: Number of pictures that the gallery had already.
        several: Number of pictures with several faces, of which the largest was taken.
        small: Number of pictures whose face is not sharp (`faces.SHARP`).
        left_out: Number of pictures without an embedding.
    """

    added: int
    already_enrolled: int
    several: int
    small: int
    left_out: int


class _NewPicture(NamedTuple):
    person: str
    source: str
    digest: str
    face: AlignedFace


@dataclass
class _NewPictures:
    """Pictures that a gallery does not have yet, in the order of the files, with a record of the others.

    Attributes:
        recognizer: Finds the faces.
        folder: Folder whose pictures are enrolled.
        aligned: True if the pictures are aligned square faces.
        enrolled: (person, digest) of everything in the gallery. Grows with the pictures that are yielded.
        already_enrolled: Number of pictures that the gallery had already.
        several: Pictures with several faces.
        small: Pictures whose face is not sharp.
        left_out: Picture -> reason why it was left out.
    """

    recognizer: Recognizer
    folder: Path
    aligned: bool
    enrolled: set[tuple[str, str]]
    already_enrolled: int = 0
    several: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def read(self, files: Iterable[Path]) -> Iterator[_NewPicture]:
        """Yield the new pictures among the files."""
        for path in files:
            try:
                source = utf8_text(path.resolve())
                person = person_of(path, self.folder)
                digest = file_digest(path)
                if (person, digest) in self.enrolled:
                    self.already_enrolled += 1
                    continue
                (face,) = self.recognizer.align(path, self.aligned)
            except (OSError, ValueError) as error:
                name = ascii(path.name) if isinstance(error, UnicodeError) else str(path)
                self.left_out[name] = reason_of(error, name)
                continue
            if face.faces > 1:
                self.several.append(str(path))
            if face.size < SHARP * self.recognizer.aligner.hr_size:
                self.small.append(str(path))
            self.enrolled.add((person, digest))
            yield _NewPicture(person, source, digest, face)


def enroll(
    recognizer: Recognizer,
    gallery: Gallery,
    folder: Path,
    aligned: bool = False,
    progress: Callable[[list[Path]], Iterable[Path]] = iter,
) -> Enrollment:
    """Add the pictures of a folder, and of all folders in it, to a gallery.

    Pictures that the gallery has already are skipped: repeat the call to resume after an interruption.

    Args:
        recognizer: The model that made the gallery.
        gallery: Gallery to add to.
        folder: Folder of pictures. The person of a picture is the first folder below this one that contains it. For a
            picture directly in this folder, it is the name of the file without its ending.
        aligned: True if the pictures are aligned square faces.
        progress: Wraps the list of pictures in a progress bar.

    Returns:
        What became of the pictures.

    Raises:
        ImageError: If the folder holds no picture.
        NotADirectoryError: If there is no such folder.
    """
    files = image_files(folder)
    pictures = _NewPictures(recognizer, folder, aligned, gallery.enrolled())
    added = 0
    block: list[_NewPicture] = []
    for picture in pictures.read(progress(files)):
        block.append(picture)
        if len(block) == BLOCK:
            added += _add(recognizer, gallery, block)
            block = []
    if block:
        added += _add(recognizer, gallery, block)
    if added:
        gallery.tidy()
    return Enrollment(added, pictures.already_enrolled, pictures.several, pictures.small, pictures.left_out)


def enroll_embedded(
    gallery: Gallery, folder: EmbeddedFolder, progress: Callable[[range], Iterable[int]] = iter
) -> EmbeddedEnrollment:
    """Add the pictures that rim-embed has embedded to a gallery, as `enroll` would add them.

    Args:
        gallery: Gallery to add to.
        folder: Finished embeddings of sharp pictures, by the model of the gallery.
        progress: Wraps the numbers of the files in a progress bar.

    Returns:
        What became of the pictures.

    Raises:
        ValueError: If the embeddings are those of probes, of another model, or unfinished, or if a file is damaged.
    """
    check_embedded(folder, gallery.fingerprint)
    enrolled = gallery.enrolled()
    added = already_enrolled = several = small = left_out = 0
    block: list[Template] = []
    for number in progress(folder.shards):
        table = folder.read(number)
        usable = table.filter(table["left_out"].is_null()).combine_chunks()
        left_out += len(table) - len(usable)
        vectors = usable["embedding"].chunk(0).flatten().to_numpy() if len(usable) else np.empty(0, np.float32)
        embeddings = torch.from_numpy(vectors.reshape(-1, folder.manifest.embedding_size).copy())  # (rows, E)
        columns = (usable[name].to_pylist() for name in ("person", "source", "digest", "faces", "size"))
        for person, source, digest, faces, size, embedding in zip(*columns, embeddings, strict=True):
            if (person, digest) in enrolled:
                already_enrolled += 1
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
    return EmbeddedEnrollment(added, already_enrolled, several, small, left_out)


def check_embedded(folder: EmbeddedFolder, fingerprint: str) -> None:
    """Check that embeddings can be enrolled: all of them, of sharp pictures, by one model.

    Args:
        folder: The embeddings.
        fingerprint: Fingerprint of the model.

    Raises:
        ValueError: If the embeddings are those of probes, of another model, or unfinished.
    """
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
            f"{folder.path} is not finished, {missing} of {len(folder.shards)} files are missing: repeat the command "
            "of rim-embed."
        )


def person_of(path: Path, folder: Path) -> str:
    """Return the person of a picture; see `enroll`.

    Args:
        path: The picture.
        folder: Folder that contains it.

    Returns:
        The name in Unicode's composed form (NFC).

    Raises:
        UnicodeError: If the name is not UTF-8.
    """
    parts = path.relative_to(folder).parts
    return unicodedata.normalize("NFC", utf8_text(parts[0] if len(parts) > 1 else path.stem))


def utf8_text(name: str | Path) -> str:
    """Return a name of the file system as text, which must be UTF-8.

    Args:
        name: Name or path.

    Returns:
        The same as a string.

    Raises:
        UnicodeError: If the name is not UTF-8.
    """
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise UnicodeError(f"the name {str(name)!a} is not UTF-8 text: rename the file or folder.") from None
    return str(name)


def reason_of(error: OSError | ValueError, name: str) -> str:
    """Return one sentence that says why a picture was left out.

    Args:
        error: Exception that was raised.
        name: Name of the picture.

    Returns:
        Message of the exception. For an error of the operating system it is "<name>: <reason>".
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return str(error)


def _add(recognizer: Recognizer, gallery: Gallery, block: list[_NewPicture]) -> int:
    """Embed new pictures, add them to the gallery and return how many they are."""
    embeddings = recognizer.embed_gallery([picture.face for picture in block])
    gallery.add(
        Template(picture.person, picture.source, picture.digest, embedding)
        for picture, embedding in zip(block, embeddings, strict=True)
    )
    return len(block)
