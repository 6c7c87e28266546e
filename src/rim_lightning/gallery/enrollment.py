"""Enroll pictures in a gallery: those of a folder, whose paths name the people, or those of a table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rim_lightning.data.detector_choice import DEFAULT_DETECTOR
from rim_lightning.data.images import read_content
from rim_lightning.data.listing import Listing
from rim_lightning.files import changed_files, printable, real_path
from rim_lightning.gallery.changes import Changes, StaleTemplate, Way, compare
from rim_lightning.gallery.embedded_folder import EmbeddedFolder
from rim_lightning.gallery.folder_pictures import FolderPicture, PictureSet, picture_set, read_pictures, reason_of
from rim_lightning.gallery.index import Enrolled, Gallery, Template
from rim_lightning.inference.faces import SHARP, AlignedFace, Box
from rim_lightning.inference.recognizer import Recognizer, batches

BLOCK = 64
"""Number of pictures that are added to the gallery at a time."""

EMBEDDED_BLOCK = 32_768
"""Smallest number of embedded pictures that are added to the gallery at a time."""

_NO_PIXELS = torch.empty(3, 0, 0)

Progress = Callable[[Sequence[Any]], Iterable[Any]]


class Enrollment(NamedTuple):
    """Counts and names of the pictures of a folder, by what became of them.

    Attributes:
        added: Number of pictures that were added.
        already_enrolled: Number of pictures that the gallery had already.
        several: Pictures with several faces, of which the largest was taken.
        small: Pictures whose face is not sharp (`faces.SHARP`). Error rates do not hold for them.
        left_out: Picture -> reason why it was left out.
        differences: Templates that differ from the folder. They were put right if `enroll` was asked to do so.
        turned: Picture -> degrees by which it was turned clockwise, for pictures whose face lies on its side.
        faces: Faces that were added, without their pixels, in the order of their pictures.
    """

    added: int
    already_enrolled: int
    several: list[str]
    small: list[str]
    left_out: dict[str, str]
    differences: list[StaleTemplate]
    turned: dict[str, int]
    faces: list[AlignedFace]


class FolderChanges(NamedTuple):
    """A folder or table, compared with a gallery.

    Attributes:
        pictures: The folder or table, with its files.
        changes: What has to be done.
        left_out: Path -> reason for pictures that cannot be read.
    """

    pictures: PictureSet
    changes: Changes
    left_out: dict[str, str]


class EmbeddedEnrollment(NamedTuple):
    """Counts of the pictures of an embedded folder. Their names are in the folder's files.

    Attributes:
        added: Number of pictures that were added.
        already_enrolled: Number of pictures that the gallery had already.
        several: Number of pictures with several faces, of which the largest was taken.
        small: Number of pictures whose face is not sharp (`faces.SHARP`).
        left_out: Number of pictures without an embedding.
        differences: Templates that differ from the folder, see `Enrollment`.
        turned: Number of pictures that were turned, because their face lies on its side.
    """

    added: int
    already_enrolled: int
    several: int
    small: int
    left_out: int
    differences: list[StaleTemplate]
    turned: int


class _Task(NamedTuple):
    """Pictures that still have to be embedded, and the number of templates that were added without it."""

    pictures: list[FolderPicture]
    reused: int


class _Origin(NamedTuple):
    """What all templates of a folder or table have in common: its path, and how its pictures are read."""

    root: str
    way: Way

    def template(self, picture: FolderPicture, embedding: Tensor, faces: int | None) -> Template:
        """Make the template of a picture that is enrolled now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Template(Enrolled(*picture, self.root, now, *self.way, faces), embedding)


@dataclass
class _FaceFinder:
    """Faces of pictures, with a record of the pictures that cannot be used.

    Attributes:
        recognizer: Finds the faces.
        aligned: True if the pictures are aligned square faces.
        several: Pictures with several faces.
        small: Pictures whose face is not sharp.
        left_out: Picture -> reason why it was left out.
        turned: Picture -> degrees by which it was turned clockwise.
        faces: The faces, without their pixels.
    """

    recognizer: Recognizer
    aligned: bool
    several: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    turned: dict[str, int] = field(default_factory=dict)
    faces: list[AlignedFace] = field(default_factory=list)

    def find(self, pictures: Iterable[tuple[FolderPicture, str]]) -> Iterator[tuple[FolderPicture, AlignedFace]]:
        """Yield the face of each picture that can be used. With each picture comes its name for people."""
        for picture, name in pictures:
            try:
                content = read_content(Path(name))
                (face,) = self.recognizer.align(content, self.aligned, printable(name))
            except (OSError, ValueError) as error:
                self.left_out[name] = reason_of(error, name)
                continue
            self.faces.append(replace(face, pixels=_NO_PIXELS))
            if face.one_of_several:
                self.several.append(name)
            if face.turned:
                self.turned[name] = face.turned
            if face.size < SHARP * self.recognizer.aligner.hr_size:
                self.small.append(name)
            yield picture._replace(digest=hashlib.sha256(content).hexdigest()), face  # it may have been replaced


def compare_folder(
    gallery: Gallery | None,
    folder: Path,
    aligned: bool = False,
    progress: Progress = iter,
    *,
    face: int | Box | None = None,
    detector: str = DEFAULT_DETECTOR,
) -> FolderChanges:
    """Compare the pictures of a folder, and of all folders in it, or of a table with a gallery. Nothing is written.

    Args:
        gallery: The gallery. None if there is none yet.
        folder: Folder of pictures, or a table; see `picture_set`.
        aligned: True if the pictures are aligned square faces.
        progress: Wraps the list of pictures in a progress bar.
        face: Which face of a picture is taken, see `FaceAligner`.
        detector: What finds the faces.

    Returns:
        What differs.

    Raises:
        ImageError: If the folder holds no picture.
        NotADirectoryError: If there is no such folder.
        FileNotFoundError: If there is no such table, or it names a picture that does not exist.
        ValueError: If the table is wrong.
    """
    pictures_of = picture_set(folder)
    pictures, left_out = read_pictures(pictures_of, progress)
    templates = [] if gallery is None else gallery.enrolled()
    changes = compare(pictures, templates, pictures_of, _way(aligned, detector, face))
    return FolderChanges(pictures_of, changes, left_out)


def enroll(
    recognizer: Recognizer,
    gallery: Gallery,
    folder: Path,
    aligned: bool = False,
    progress: Progress = iter,
    *,
    sync: bool = False,
    compared: FolderChanges | None = None,
) -> Enrollment:
    """Add the pictures of a folder, and of all folders in it, or of a table to a gallery.

    Pictures that the gallery has already are skipped: repeat the call to resume after an interruption.

    Args:
        recognizer: The model that made the gallery.
        gallery: Gallery to add to.
        folder: Folder of pictures, whose paths say who is on a picture, or a table that says it; see `picture_set`.
        aligned: True if the pictures are aligned square faces.
        progress: Wraps the list of new pictures in a progress bar.
        sync: True to put right what differs: templates of pictures that were replaced or removed are removed for good,
            before anything is added. False leaves them and returns them.
        compared: What `compare_folder` returned. By default it is called.

    Returns:
        What became of the pictures.

    Raises:
        ImageError: If the folder holds no picture.
        OSError: If there is no such folder or table, or it names a picture that does not exist.
        ValueError: If the table is wrong, or the pictures were enrolled with another `aligned` and `sync` is False.
    """
    face, detector = recognizer.aligner.face, recognizer.aligner.detector
    pictures_of, changes, left_out = compared or compare_folder(gallery, folder, aligned, face=face, detector=detector)
    origin = _Origin(pictures_of.root, _way(aligned, detector, face))
    _check_way(changes, pictures_of.place, origin.way, sync)
    task = _prepare_gallery(gallery, changes, origin, sync)
    finder = _FaceFinder(recognizer, aligned)
    folder, root = pictures_of.folder, real_path(pictures_of.folder)
    names = {picture: str(folder / os.path.relpath(picture.source, root)) for picture in task.pictures}
    added = task.reused
    for block in batches(finder.find(progress(list(names.items()))), BLOCK):
        embeddings = recognizer.embed_gallery([face for _, face in block])
        gallery.add(
            origin.template(picture, embedding, found.faces)
            for (picture, found), embedding in zip(block, embeddings, strict=True)
        )
        added += len(block)
    if added:
        gallery.tidy()
    return Enrollment(
        added,
        len(changes.unchanged) - (len(changes.undated) if sync else 0),
        finder.several,
        finder.small,
        left_out | finder.left_out,
        changes.differences,
        finder.turned,
        finder.faces,
    )


def compare_embedded(gallery: Gallery | None, folder: EmbeddedFolder) -> FolderChanges:
    """Compare the pictures that rim-embed has embedded with a gallery. Nothing is written.

    Args:
        gallery: The gallery. None if there is none yet.
        folder: Finished embeddings of sharp pictures.

    Returns:
        What differs.

    Raises:
        ValueError: If a file is damaged, or if pictures have changed since they were embedded.
    """
    root = Path(folder.manifest.pictures)
    pictures: list[FolderPicture] = []
    listing = Listing([], [], [])
    for number in folder.shards:
        for row in folder.read(number, ["person", "source", "digest", "left_out"]).to_pylist():
            source = os.path.join(folder.manifest.pictures, row["source"])
            listing.pictures.append(Path(source))
            if row["left_out"] is None:
                pictures.append(FolderPicture(row["person"], source, row["digest"]))
    changed = changed_files([(picture.source, picture.digest) for picture in pictures]) if root.is_dir() else []
    if changed:
        raise ValueError(
            f"{len(changed)} pictures have changed since rim-embed wrote {folder.path}, the first is {changed[0]}: "
            "repeat the command of rim-embed."
        )
    templates = [] if gallery is None else gallery.enrolled()
    way = _way(folder.manifest.aligned, folder.manifest.detector)
    pictures_of = PictureSet(root, listing)
    return FolderChanges(pictures_of, compare(pictures, templates, pictures_of, way), {})


def enroll_embedded(
    gallery: Gallery,
    folder: EmbeddedFolder,
    progress: Callable[[range], Iterable[int]] = iter,
    *,
    sync: bool = False,
    compared: FolderChanges | None = None,
) -> EmbeddedEnrollment:
    """Add the pictures that rim-embed has embedded to a gallery, as `enroll` would add them.

    Args:
        gallery: Gallery to add to.
        folder: Finished embeddings of sharp pictures, by the model of the gallery.
        progress: Wraps the numbers of the files in a progress bar.
        sync: True to put right what differs, see `enroll`.
        compared: What `compare_embedded` returned. By default it is called.

    Returns:
        What became of the pictures.

    Raises:
        ValueError: If the embeddings are those of probes, of another model, or unfinished, if a file is damaged, or if
            the pictures were enrolled with another `aligned` and `sync` is False.
    """
    check_embedded(folder, gallery.fingerprint)
    changes = (compared or compare_embedded(gallery, folder)).changes
    manifest = folder.manifest
    origin = _Origin(manifest.pictures, _way(manifest.aligned, manifest.detector))
    _check_way(changes, Path(manifest.pictures), origin.way, sync)
    task = _prepare_gallery(gallery, changes, origin, sync)
    pictures = set(task.pictures)
    added = task.reused
    several = small = left_out = turned = 0
    block: list[Template] = []
    for number in progress(folder.shards):
        table = folder.read(number)
        usable = table.filter(table["left_out"].is_null()).combine_chunks()
        left_out += len(table) - len(usable)
        vectors = usable["embedding"].chunk(0).flatten().to_numpy() if len(usable) else np.empty(0, np.float32)
        embeddings = torch.from_numpy(vectors.reshape(-1, manifest.embedding_size).copy())  # (rows, E)
        columns = (usable[name].to_pylist() for name in ("person", "source", "digest", "faces", "size", "turned"))
        for person, source, digest, faces, size, turn, embedding in zip(*columns, embeddings, strict=True):
            picture = FolderPicture(person, os.path.join(manifest.pictures, source), digest)
            if picture in pictures:
                several += faces > 1
                turned += bool(turn)
                small += size < SHARP * manifest.hr_size
                block.append(origin.template(picture, embedding, faces))
        if len(block) >= EMBEDDED_BLOCK or number == folder.shards[-1]:
            gallery.add(block)
            added += len(block)
            block = []
    if added:
        gallery.tidy()
    unchanged = len(changes.unchanged) - (len(changes.undated) if sync else 0)
    return EmbeddedEnrollment(added, unchanged, several, small, left_out, changes.differences, turned)


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


def _way(aligned: bool, detector: str, face: int | Box | None = None) -> Way:
    """Return how a picture is read; the largest face, which is the first, is not mentioned."""
    if aligned:
        return Way("aligned", None)
    if face in (None, 1):
        return Way("detected", detector)
    which = f"face {face}" if isinstance(face, int) else f"box {','.join(f'{x:g}' for x in face or ())}"
    return Way(f"detected, {which}", detector)


def _check_way(changes: Changes, folder: Path, way: Way, sync: bool) -> None:
    """Raise ValueError if pictures of the folder were enrolled in another way."""
    otherwise = changes.of_kind("made differently")
    if not otherwise or sync:
        return
    before = otherwise[0].template
    if "aligned" in (before.alignment, way.alignment):
        aligned = way.alignment == "aligned"
        words = ("without", "with") if aligned else ("with", "without")
        difference = f"{words[0]} --aligned, this command is {words[1]} it"
        advice = "leave --aligned out" if aligned else "add --aligned"
    elif before.alignment != way.alignment:
        difference = f"with another choice of the face ({before.alignment})"
        advice = "give the same --face or --box"
    else:
        difference, advice = f"by the detector {before.detector}", f"add --detector {before.detector}"
    raise ValueError(
        f"{len(otherwise)} pictures of {folder} were enrolled {difference}: {advice}, or add --sync to embed them "
        "again."
    )


def _prepare_gallery(gallery: Gallery, changes: Changes, origin: _Origin, sync: bool) -> _Task:
    """Remove templates that are wrong if `sync` is True, and add the pictures whose embedding the gallery has."""
    pictures = list(changes.new)
    wrong = [*changes.differences, *changes.undated] if sync else []
    right = set(changes.unchanged) - {difference.picture for difference in changes.undated}
    if wrong:
        replacements = (difference.picture for difference in wrong)
        pictures += [picture for picture in dict.fromkeys(replacements) if picture is not None and picture not in right]
    reusable = _reusable_templates(gallery, pictures, origin.way)
    if wrong:
        gallery.remove({difference.template for difference in wrong})
    gallery.add(
        origin.template(picture, template.embedding, template.picture.faces) for picture, template in reusable.items()
    )
    return _Task([picture for picture in pictures if picture not in reusable], len(reusable))


def _reusable_templates(gallery: Gallery, pictures: Sequence[FolderPicture], way: Way) -> dict[FolderPicture, Template]:
    """Return the templates of the same content that the gallery has already: of renamed pictures and of copies."""
    templates = gallery.templates_of({picture.digest for picture in pictures})
    reusable = {}
    for picture in pictures:
        for template in templates.get(picture.digest, []):
            if (template.picture.alignment, template.picture.detector) == way:
                reusable[picture] = template
                break
    return reusable
