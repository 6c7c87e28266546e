"""What the sub-commands of `rim` print: lines, JSON objects, progress bars, and what was left out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.errors import PARTLY
from rim_lightning.commands.rim.options import WRONG

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace

Item = TypeVar("Item")


def say(text: str, err: bool = False) -> None:
    """Print one line. Names in it are shown as `files.printable` shows them.

    Args:
        text: The line.
        err: True to print it on the error output.
    """
    from rim_lightning.files import printable  # not at the top of the file: `--help` should not wait for it

    click.echo(printable(text), err=err)


def echo_json(content: Any) -> None:
    """Print one JSON object, for programs."""
    import json  # not at the top of the file: `--help` should not wait for it

    from rim_lightning.files import finite

    click.echo(json.dumps(_utf8(finite(content)), allow_nan=False))


def progress_bar(items: Sequence[Item], title: str, unit: str = "picture") -> Iterable[Item]:
    """Wrap items in a progress bar, unless there is one item or no terminal."""
    from rim_lightning.runs import progress  # not at the top of the file: `--help` should not wait for it

    return progress.progress_bar(items, desc=title, unit=unit, leave=False, shown=len(items) > 1)


def report_notes(faces: Iterable[AlignedFace], option: str = "--face") -> None:
    """Print on the error output what a user should know about the faces: there are several, or one is turned.

    Args:
        faces: The faces.
        option: Option that chooses another face.
    """
    from rim_lightning.inference.faces import SEVERAL

    for face in faces:
        for note in face.notes:
            hint = f" ({option} N takes another one; rim faces numbers them)" if note.endswith(SEVERAL) else ""
            say(f"{face.name} {note}{hint}", err=True)


def report_enlarged(faces: Iterable[AlignedFace]) -> None:
    """Name the pictures that somebody enlarged on the error output."""
    for face in faces:
        if remark := face.remark():
            say(f"{remark} (--size, for a probe, if you know better)", err=True)


def report_cautions(name: str, sentences: Iterable[str]) -> None:
    """Print on the error output what is to be said before the hits of a search, behind the name of its probe."""
    for sentence in sentences:
        say(f"{name}: {sentence}", err=True)


def report_left_out(left_out: dict[str, str]) -> None:
    """Print on the error output why each picture was left out."""
    for reason in left_out.values():
        say(f"left out: {reason}", err=True)


def exit_if_left_out(left_out: int, done: int) -> None:
    """End the command if pictures were left out. The exit code says whether any other picture was done."""
    if left_out:
        sys.exit(PARTLY if done else WRONG)


def _utf8(content: Any) -> Any:
    """Return plain containers with text that every reader of JSON takes: bytes of names that are no UTF-8 as \\xe9."""
    from rim_lightning.files import without_surrogates

    if isinstance(content, dict):
        return {_utf8(key): _utf8(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_utf8(value) for value in content]
    return without_surrogates(content) if isinstance(content, str) else content
