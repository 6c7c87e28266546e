"""Lines about many pictures: what a user should know of those that were used, and the first names of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
