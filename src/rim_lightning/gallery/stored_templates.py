"""Questions about what a gallery holds: is its picture still the same, whose is it, which come from a folder?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rim_lightning.files import content_digest, real_path
from rim_lightning.gallery.index import Enrolled

UNCHANGED, CHANGED, GONE = "unchanged", "changed", "gone"
"""States of the picture of a template, see `picture_state`."""


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


def templates_of_picture(templates: Iterable[Enrolled], picture: Path) -> list[Enrolled]:
    """Return the templates of one picture.

    Args:
        templates: All templates of a gallery.
        picture: Its path, or its path in the folder or table that was enrolled. The file may be gone.

    Returns:
        Its templates; none if it was not enrolled.

    Raises:
        ValueError: If several folders that were enrolled have a picture of this path.
    """
    templates = list(templates)
    places = {os.path.abspath(picture), str(real_path(picture))}
    if exact := [template for template in templates if template.source in places]:
        return exact
    inside = [
        template
        for template in templates
        if template.root
        and str(picture) == os.path.relpath(template.source, _folder_of(template.source, template.root))
    ]
    if len(sources := sorted({template.source for template in inside})) > 1:
        raise ValueError(f"{picture} may be {' or '.join(sources)}: give the whole path.")
    return inside


def templates_of_folder(templates: Iterable[Enrolled], folder: Path) -> list[Enrolled]:
    """Return the templates of a folder or table that was enrolled, or of a folder in it. It may be gone.

    Args:
        templates: All templates of a gallery.
        folder: Its path.

    Returns:
        Its templates; none if it was not enrolled.
    """
    places = (os.path.abspath(folder), str(real_path(folder)))
    return [
        template
        for template in templates
        if template.root in places or any(lies_in(template.source, place) for place in places)
    ]


def _folder_of(source: str, root: str) -> str:
    """Return the folder that the paths of a folder or table are relative to."""
    return root if lies_in(source, root) else os.path.dirname(root)


def lies_in(source: str, root: str) -> bool:
    """Return True if a path lies in a folder, or in a folder in it. Both are compared as text."""
    return source.startswith(root.rstrip(os.sep) + os.sep)
