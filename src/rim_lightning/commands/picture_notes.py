"""Lines about many pictures: what a user should know of those that were used, and the first names of a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Verification

SHOWN = 3
"""Number of names that are shown of a list."""


def first_names(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are.

    Example:
        >>> first_names(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def note_lines(pictures_of: Mapping[str, Sequence[str]], rest: str) -> list[str]:
    """Put remarks about pictures into a few lines.

    Args:
        pictures_of: The end of a sentence that begins with the name of a picture -> the names.
        rest: Where all of them are named, as the end of the line that does not name all.

    Returns:
        A line for each picture if they are few, otherwise one for each remark, with the number of pictures.
    """
    lines = []
    for note, names in pictures_of.items():
        if len(names) <= SHOWN:
            lines += [f"{name} {note}" for name in names]
        else:
            lines.append(f"{len(names)} pictures, each of which {note}: {first_names(names)}; {rest}")
    return lines


def face_notes(faces: Iterable[AlignedFace]) -> list[str]:
    """Return what a user should know about some faces: there are others, one is turned, or its picture was enlarged."""
    faces = list(faces)
    notes = [f"{face.name} {note}" for face in faces for note in face.notes]
    return notes + [remark for face in faces if (remark := face.remark())]


def comparison_notes(answer: Verification, faces: Iterable[AlignedFace], hr_size: int) -> list[str]:
    """Return all that a user should know beside an answer, where it is not printed in lines of its own.

    Args:
        answer: The answer.
        faces: Its faces.
        hr_size: Side of the model's sharp faces in pixels.
    """
    from rim_lightning.inference.faces import SHARP
    from rim_lightning.inference.verdict import unsharp

    warning = unsharp(answer.gallery_size, SHARP * hr_size)
    return [*answer.cautions(), *([] if warning is None else [warning]), *face_notes(faces)]
