"""What differs between a folder of pictures and what a gallery holds of it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.listing import Listing
from rim_lightning.files import content_digest, in_threads, printable
from rim_lightning.gallery.index import Enrolled, unicode_name

UNCHANGED, CHANGED, GONE = "unchanged", "changed", "gone"
"""States of the picture of a template, see `picture_state`."""

KINDS = ("replaced", "renamed", "moved", "made differently", "doubled", "removed")
"""Kinds of differences: other content under the same path; another path; another person; another `Way`; several
templates of one picture; no file."""


class Way(NamedTuple):
    """How pictures are read.

    Attributes:
        alignment: "aligned", "detected" or the choice of the face, see `Enrolled`.
        detector: Name of the detector; None if there is none.
    """

    alignment: str
    detector: str | None

    def made(self, template: Enrolled) -> bool:
        """Return True if a template was made in this way, as far as its gallery knows."""
        return template.alignment in (self.alignment, None) and template.detector in (self.detector, None)


class FolderPicture(NamedTuple):
    """A picture of a folder.

    Attributes:
        person: Name of the person.
        source: Absolute path.
        digest: SHA-256 of the file.
    """

    person: str
    source: str
    digest: str


class StaleTemplate(NamedTuple):
    """A template that is not what the folder holds.

    Attributes:
        kind: One of `KINDS`.
        template: The template in the gallery.
        picture: The picture that takes its place; None if it was removed.
    """

    kind: str
    template: Enrolled
    picture: FolderPicture | None


@dataclass
class Changes:
    """What has to be done so that a gallery holds what a folder holds.

    Attributes:
        unchanged: Pictures that are enrolled as they are, and copies of pictures of the same person in the folder.
        new: Pictures that are not enrolled, in their order.
        differences: Templates that differ, by `KINDS`. Their pictures are not among `new`.
        undated: Templates of an earlier version, which knew neither date nor alignment. Their pictures are among
            `unchanged`.
    """

    unchanged: list[FolderPicture] = field(default_factory=list)
    new: list[FolderPicture] = field(default_factory=list)
    differences: list[StaleTemplate] = field(default_factory=list)
    undated: list[StaleTemplate] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[StaleTemplate]:
        """Return the differences of a kind."""
        return [difference for difference in self.differences if difference.kind == kind]


def person_of(path: Path, folder: Path) -> str:
    """Return the person of a picture.

    Args:
        path: The picture.
        folder: Folder that contains it. The person is the first folder below it; for a picture directly in it, the name
            of the file without its ending.

    Returns:
        The name in Unicode's composed form (NFC).

    Raises:
        UnicodeError: If the name is not UTF-8.
    """
    parts = path.relative_to(folder).parts
    return unicode_name(utf8_text(parts[0] if len(parts) > 1 else path.stem))


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
        raise UnicodeError(f"the name {printable(str(name))} is not UTF-8 text: rename the file or folder.") from None
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


def read_pictures(
    folder: Path, files: Sequence[Path], progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> tuple[list[FolderPicture], dict[str, str]]:
    """Read the content of pictures for their digests. Size and date of a file would not do: copying tools keep them.

    Args:
        folder: Folder that was asked for.
        files: Its pictures.
        progress: Wraps the list of files in a progress bar.

    Returns:
        The pictures in the order of the files, and path -> reason for those that cannot be read.
    """
    root = folder.resolve()
    pictures: list[FolderPicture] = []
    left_out: dict[str, str] = {}
    results = in_threads(lambda path: _picture_or_error(path, folder, root), files)
    for path, result in zip(progress(files), results, strict=True):
        if isinstance(result, FolderPicture):
            pictures.append(result)
        else:
            name = printable(str(path)) if isinstance(result, UnicodeError) else str(path)
            left_out[name] = reason_of(result, name)
    return pictures, left_out


def compare(
    pictures: Sequence[FolderPicture], templates: Sequence[Enrolled], folder: Path, way: Way, listing: Listing
) -> Changes:
    """Compare the pictures of a folder with the templates that a gallery holds of it.

    Templates of other folders are not looked at, except those of folders that are gone: a picture with the same content
    and person takes the place of such a template, because the folder was probably moved.

    Args:
        pictures: Pictures of the folder.
        templates: All templates of the gallery.
        folder: The folder.
        way: How the pictures are to be read.
        listing: Files of the folder. A template whose file is there, but could not be read, is not removed.

    Returns:
        What has to be done.
    """
    root = str(folder.resolve())
    own, strays = _templates_of(root, templates, pictures)
    changes = Changes()
    open_pictures: list[FolderPicture] = []
    for picture in pictures:
        same_place = own.pop(picture.source, [])
        current = [t for t in same_place if (t.digest, t.person) == (picture.digest, picture.person)]
        as_wanted = [template for template in current if way.made(template)]
        if len(as_wanted) > 1:  # by two processes that did not know of each other
            changes.differences += [StaleTemplate("doubled", template, picture) for template in as_wanted]
        elif as_wanted:
            changes.unchanged.append(picture)
            if as_wanted[0].alignment is None:
                changes.undated.append(StaleTemplate("undated", as_wanted[0], picture))
        elif not same_place:
            open_pictures.append(picture)
        wrong = [template for template in same_place if template not in as_wanted]
        changes.differences += [
            StaleTemplate(_kind_in_place(template, picture), template, picture) for template in wrong
        ]
    stale: dict[str, list[Enrolled]] = {}
    files = (*listing.pictures, *listing.others) if own else ()
    present = {os.path.join(root, path.relative_to(folder)) for path in files}
    for source, missing in own.items():
        if source not in present:
            for template in missing:
                stale.setdefault(template.digest, []).append(template)
    enrolled = {(picture.person, picture.digest) for picture in changes.unchanged}
    for picture in open_pictures:
        if (picture.person, picture.digest) in enrolled:
            changes.unchanged.append(picture)  # a copy under another name
            continue
        enrolled.add((picture.person, picture.digest))
        earlier = _pop_template_of(stale, strays, picture)
        if earlier is None:
            changes.new.append(picture)
        else:
            kind = "renamed" if earlier.person == picture.person else "moved"
            changes.differences.append(StaleTemplate(kind, earlier, picture))
    changes.differences += [StaleTemplate("removed", template, None) for left in stale.values() for template in left]
    changes.differences.sort(key=lambda difference: (KINDS.index(difference.kind), difference.template.source))
    return changes


def picture_state(template_source: str, digest: str) -> str:
    """Say whether the picture of a template is still what was enrolled.

    Args:
        template_source: Path of the picture.
        digest: SHA-256 of the picture when it was enrolled.

    Returns:
        `UNCHANGED`, `CHANGED`, or `GONE` if there is no such file here or it may not be read.
    """
    try:
        return UNCHANGED if content_digest(template_source) == digest else CHANGED
    except OSError:
        return GONE


def remark_of(state: str) -> str:
    """Return what is said behind the path of a picture that is not what was enrolled; "" if it is."""
    return {CHANGED: ", CHANGED since it was enrolled", GONE: ", no longer there"}.get(state, "")


def shared_pictures(templates: Iterable[Enrolled], digests: set[str]) -> list[list[Enrolled]]:
    """Return templates of one picture that have different people.

    Args:
        templates: All templates of a gallery.
        digests: SHA-256 of the pictures to look at.

    Returns:
        One list for each such picture.
    """
    by_digest: dict[str, list[Enrolled]] = {}
    for template in templates:
        if template.digest in digests:
            by_digest.setdefault(template.digest, []).append(template)
    return [group for group in by_digest.values() if len({template.person for template in group}) > 1]


def alike_names(names: Iterable[str]) -> list[list[str]]:
    """Return names that differ only in case, spaces or the Unicode form of their letters.

    Args:
        names: Names of people or of their folders.

    Returns:
        Groups of at least two names, sorted.
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def templates_of_picture(templates: Iterable[Enrolled], picture: Path) -> list[Enrolled]:
    """Return the templates of one picture.

    Args:
        templates: All templates of a gallery.
        picture: Its path, or its path in the folder that was enrolled. The file may be gone.

    Returns:
        Its templates; none if it was not enrolled.

    Raises:
        ValueError: If several folders that were enrolled have a picture of this path.
    """
    templates = list(templates)
    places = {os.path.abspath(picture), str(picture.resolve())}
    if exact := [template for template in templates if template.source in places]:
        return exact
    inside = [
        template
        for template in templates
        if template.root and str(picture) == os.path.relpath(template.source, template.root)
    ]
    if len(sources := sorted({template.source for template in inside})) > 1:
        raise ValueError(f"{picture} may be {' or '.join(sources)}: give the whole path.")
    return inside


def templates_of_folder(templates: Iterable[Enrolled], folder: Path) -> list[Enrolled]:
    """Return the templates of a folder that was enrolled, or of a folder in it. It may be gone.

    Args:
        templates: All templates of a gallery.
        folder: Its path.

    Returns:
        Its templates; none if it was not enrolled.
    """
    places = (os.path.abspath(folder), str(folder.resolve()))
    return [template for template in templates if any(_lies_in(template.source, place) for place in places)]


def _templates_of(
    root: str, templates: Sequence[Enrolled], pictures: Sequence[FolderPicture]
) -> tuple[dict[str, list[Enrolled]], dict[tuple[str, str], list[Enrolled]]]:
    """Return the templates of a folder by path, and those of folders that are gone by digest and person."""
    own: dict[str, list[Enrolled]] = {}
    strays: dict[tuple[str, str], list[Enrolled]] = {}
    is_there: dict[str, bool] = {}
    real_paths: dict[str, str] | None = None
    for template in templates:
        if template.root == root or (template.root is None and _lies_in(template.source, root)):
            own.setdefault(template.source, []).append(template)
            continue
        if template.root is None:
            if real_paths is None:
                real_paths = {os.path.realpath(picture.source): picture.source for picture in pictures}
            if template.source in real_paths:  # an earlier version followed links of pictures
                own.setdefault(real_paths[template.source], []).append(template)
                continue
        place = template.root or template.source
        if not is_there.setdefault(place, os.path.exists(place)):
            strays.setdefault((template.digest, template.person), []).append(template)
    return own, strays


def _lies_in(source: str, root: str) -> bool:
    return source.startswith(root.rstrip(os.sep) + os.sep)


def _kind_in_place(template: Enrolled, picture: FolderPicture) -> str:
    if template.digest != picture.digest:
        return "replaced"
    return "moved" if template.person != picture.person else "made differently"


def _pop_template_of(
    stale: dict[str, list[Enrolled]], strays: dict[tuple[str, str], list[Enrolled]], picture: FolderPicture
) -> Enrolled | None:
    """Take a template of the same picture whose file is gone; one of the same person if there is one."""
    candidates = stale.get(picture.digest) or strays.get((picture.digest, picture.person))
    if not candidates:
        return None
    candidates.sort(key=lambda template: template.person != picture.person)
    return candidates.pop(0)


def _picture_or_error(path: Path, folder: Path, root: Path) -> FolderPicture | OSError | ValueError:
    try:
        return FolderPicture(person_of(path, folder), utf8_text(root / path.relative_to(folder)), content_digest(path))
    except (OSError, ValueError) as error:
        return error
