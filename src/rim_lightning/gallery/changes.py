"""What differs between a folder of pictures and what a gallery holds of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rim_lightning.files import real_path
from rim_lightning.gallery.folder_pictures import FolderPicture, PictureSet
from rim_lightning.gallery.index import Enrolled
from rim_lightning.gallery.stored_templates import lies_in

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

    def pictures(self) -> list[FolderPicture]:
        """Return all pictures of the folder."""
        differing = (difference.picture for difference in self.differences)
        return [*self.unchanged, *self.new, *(picture for picture in differing if picture is not None)]

    def of_kind(self, kind: str) -> list[StaleTemplate]:
        """Return the differences of a kind."""
        return [difference for difference in self.differences if difference.kind == kind]


def compare(
    pictures: Sequence[FolderPicture], templates: Sequence[Enrolled], pictures_of: PictureSet, way: Way
) -> Changes:
    """Compare the pictures of a folder or table with the templates that a gallery holds of it.

    Templates of other folders are not looked at, except those of folders that are gone: a picture with the same content
    and person takes the place of such a template, because the folder was probably moved.

    Args:
        pictures: Those of the pictures that could be read.
        templates: All templates of the gallery.
        pictures_of: The folder or table. A template whose file is there, but could not be read, is not removed.
        way: How the pictures are to be read.

    Returns:
        What has to be done.
    """
    own, strays = _templates_of(pictures_of.root, templates, pictures)
    changes = Changes()
    elsewhere: list[FolderPicture] = []
    for picture in pictures:
        if same_place := own.pop(picture.source, []):
            _compare_in_place(picture, same_place, way, changes)
        else:
            elsewhere.append(picture)
    files = (*pictures_of.listing.pictures, *pictures_of.listing.others) if own else ()
    root = real_path(pictures_of.folder)
    present = {os.path.join(root, path.relative_to(pictures_of.folder)) for path in files}
    stale: dict[str, list[Enrolled]] = {}
    for source, missing in own.items():
        if source not in present:
            for template in missing:
                stale.setdefault(template.digest, []).append(template)
    _place(elsewhere, stale, strays, changes)
    changes.differences += [StaleTemplate("removed", template, None) for left in stale.values() for template in left]
    changes.differences.sort(key=lambda difference: (KINDS.index(difference.kind), difference.template.source))
    return changes


def _compare_in_place(picture: FolderPicture, templates: Sequence[Enrolled], way: Way, changes: Changes) -> None:
    """Compare a picture with the templates of its path, and add what is found to the changes."""
    current = [t for t in templates if (t.digest, t.person) == (picture.digest, picture.person)]
    as_wanted = [template for template in current if way.made(template)]
    if len(as_wanted) > 1:  # by two processes that did not know of each other
        changes.differences += [StaleTemplate("doubled", template, picture) for template in as_wanted]
    elif as_wanted:
        changes.unchanged.append(picture)
        if as_wanted[0].alignment is None:
            changes.undated.append(StaleTemplate("undated", as_wanted[0], picture))
    changes.differences += [
        StaleTemplate(_kind_in_place(template, picture), template, picture)
        for template in templates
        if template not in as_wanted
    ]


def _place(
    pictures: Iterable[FolderPicture],
    stale: dict[str, list[Enrolled]],
    strays: dict[tuple[str, str], list[Enrolled]],
    changes: Changes,
) -> None:
    """Find the template whose place each picture takes, or add it as new. Copies of enrolled pictures are unchanged.

    Args:
        pictures: Pictures without a template of their path.
        stale: SHA-256 -> templates of the folder whose files are gone. Those that are taken are removed from it.
        strays: (SHA-256, person) -> templates of folders that are gone, likewise.
        changes: What is found is added here.
    """
    enrolled = {(picture.person, picture.digest) for picture in changes.unchanged}
    for picture in pictures:
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


def _templates_of(
    root: str, templates: Sequence[Enrolled], pictures: Sequence[FolderPicture]
) -> tuple[dict[str, list[Enrolled]], dict[tuple[str, str], list[Enrolled]]]:
    """Return the templates of a folder by path, and those of folders that are gone by digest and person."""
    own: dict[str, list[Enrolled]] = {}
    strays: dict[tuple[str, str], list[Enrolled]] = {}
    is_there: dict[str, bool] = {}
    real_paths: dict[str, str] | None = None
    for template in templates:
        if template.root == root or (template.root is None and lies_in(template.source, root)):
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
