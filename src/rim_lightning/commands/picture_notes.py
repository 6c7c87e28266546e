"""What a command says about pictures that were used, but not as a user may think: turned ones, and several faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHOWN = 3
"""Number of pictures that are named for each remark."""


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
            shown = ", ".join(names[:SHOWN])
            lines.append(f"{len(names)} pictures, each of which {note}: {shown} and {len(names) - SHOWN} more; {rest}")
    return lines
