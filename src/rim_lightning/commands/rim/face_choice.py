"""The choice of a face among those of a picture: `--aligned`, `--face`, `--box`, `--gallery-face` and `--faces`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.errors import sentence_of

if TYPE_CHECKING:
    from rim_lightning.case.record_folder import RecordWriter
    from rim_lightning.inference.faces import Aligned, AlignedFace, Box, Side
    from rim_lightning.inference.recognizer import Recognizer

Command = TypeVar("Command", bound=Callable[..., Any])
SIDES = ("probe", "gallery")


class FaceCommand(click.Command):
    """A command with `--aligned`, whose value may be left out: then it is `both`.

    A word behind `--aligned` that is the name of a side is the side, and not a picture of that name.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the value where the next word is none. Fail if that word may as well be a path."""
        completed = list(args)
        taken = None
        for place, word in enumerate(args):
            if word == "--":
                break
            if word == "--aligned":
                value = "".join(args[place + 1 : place + 2])
                if value in (*SIDES, "both"):
                    taken = value
                else:
                    completed[place] = "--aligned=both"
        variadic = any(isinstance(param, click.Argument) and param.nargs == -1 for param in self.params)
        if taken and variadic and os.path.lexists(taken):
            raise click.UsageError(
                f"'{taken}' behind --aligned may be the side or the path: write --aligned={taken}, or ./{taken} for "
                "the path.",
                ctx,
            )
        try:
            return super().parse_args(ctx, completed)
        except click.MissingParameter as error:
            if taken is None or not isinstance(error.param, click.Argument):
                raise
            raise click.UsageError(
                f"--aligned took '{taken}' as the side, so that {error.param.human_readable_name} is missing: write "
                f"--aligned ./{taken} if it is a path.",
                ctx,
            ) from error


class BoxType(click.ParamType):
    """The box of a face, x0,y0,x1,y1 in pixels."""

    name = "x0,y0,x1,y1"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return four numbers; fail if they are no box."""
        if isinstance(value, tuple):
            return value
        try:
            x0, y0, x1, y1 = (float(number) for number in value.split(","))
        except ValueError:
            self.fail(f"{value} is no box: give x0,y0,x1,y1 in pixels, as rim faces prints them.", param, ctx)
        if not (0 <= x0 < x1 < float("inf") and 0 <= y0 < y1 < float("inf")):
            self.fail(f"{value} is no box: x0 must be less than x1, y0 less than y1, none below 0.", param, ctx)
        return x0, y0, x1, y1


@dataclass(frozen=True)
class FaceChoice:
    """What the options `--aligned`, `--face`, `--box`, `--gallery-face`, `--gallery-box` and `--faces` say.

    Attributes:
        aligned: False, or the side whose pictures are aligned: "probe", "gallery" or "both".
        face: Number or box of the face in a probe, or in the one kind of pictures that there is; None for the largest.
        gallery_face: The same for a gallery picture.
        every: True to answer for every face of a probe.
    """

    aligned: Aligned
    face: int | Box | None = None
    gallery_face: int | Box | None = None
    every: bool = False

    def align(
        self, recognizer: Recognizer, picture: Path, side: Side = "probe", writer: RecordWriter | None = None
    ) -> list[AlignedFace]:
        """Align the chosen face of a picture, or all of them.

        Args:
            recognizer: The model.
            picture: The picture.
            side: Side that it is on.
            writer: Record that keeps a copy of the picture, which is read in its place.

        Returns:
            At least one face.

        Raises:
            ValueError: If the picture cannot be used, or does not show the face.
            FileNotFoundError: If there is no such picture.
        """
        from rim_lightning.files import printable

        read = picture if writer is None else writer.keep(picture, side)
        return self.align_named(recognizer, read, side, printable(str(picture)))

    def align_named(self, recognizer: Recognizer, picture: Path, side: Side, name: str) -> list[AlignedFace]:
        """Do the same for a picture that has another name in messages, see `align`."""
        from rim_lightning.inference.faces import is_aligned

        if self.every and side == "probe":
            return recognizer.align_all(picture, name)
        face = self.gallery_face if side == "gallery" else self.face
        return recognizer.align(picture, is_aligned(self.aligned, side), name, face)


def face_options(*sides: Side, every: bool = True) -> Callable[[Command], Command]:
    """Add the options that say which faces of the pictures are meant. The command gets them as one `FaceChoice`.

    Args:
        sides: Sides of the pictures that the command reads. `--gallery-face` exists where there are both.
        every: True to add `--faces all`.
    """
    prefixes = ("", "gallery-") if len(sides) > 1 else ("",)

    def add(command: Command) -> Command:
        @wraps(command)
        def with_choice(*, aligned: str | None, faces: str | None = None, **values: Any) -> Any:
            chosen = [_one_face(values, prefix) for prefix in prefixes]
            side = aligned or False
            if side in SIDES and side not in sides:
                raise click.BadParameter(
                    f"this command reads {sides[0]} pictures: choose {sides[0]}.", param_hint="--aligned"
                )
            for face, at in zip(chosen, sides, strict=True):
                if face is not None and side in (at, "both"):
                    raise click.UsageError("A face is chosen among those that are searched for: leave --aligned out.")
            if faces and (chosen[0] is not None or side in (sides[0], "both")):
                raise click.UsageError("--faces all takes every face: leave --face, --box and --aligned out.")
            face, gallery_face = (*chosen, None)[:2] if "probe" in sides else (None, chosen[0])
            return command(choice=FaceChoice(side, face, gallery_face, faces == "all"), **values)  # type: ignore[arg-type]

        with_options: Any = with_choice
        for option in _face_options(sides, prefixes, every):
            with_options = option(with_options)
        return with_options

    return add


def pictures_of(path: Path, left_out: dict[str, str]) -> list[Path]:
    """List the pictures of a folder and of all folders in it, or the one picture that is given.

    Args:
        path: Picture or folder.
        left_out: Picture -> reason. Pictures of the folder that cannot be read by their name are added.

    Returns:
        The pictures, at least one.
    """
    from rim_lightning.data.listing import list_pictures, why_not

    if not path.is_dir():
        return [path]
    listing = list_pictures(path)
    for other in listing.others:
        unused = why_not(other)
        if unused.picture:
            left_out[str(other)] = f"{other} {unused.reason}."
    return listing.pictures


def faces_of(
    recognizer: Recognizer,
    path: Path,
    choice: FaceChoice,
    side: Side,
    left_out: dict[str, str],
    size: float | None = None,
    writer: RecordWriter | None = None,
) -> list[AlignedFace]:
    """Align the face of a picture, or those of all usable pictures of a folder.

    Args:
        recognizer: The model.
        path: Picture or folder.
        choice: Which faces are meant.
        side: Side that the pictures are on.
        left_out: Picture -> reason. Pictures of the folder that cannot be used are added.
        size: Side in pixels by which the faces are judged, see `judged_as`.
        writer: Record that keeps copies of the pictures.

    Returns:
        The faces, at least one.

    Raises:
        ValueError: If the picture, or all pictures of the folder, cannot be used.
        FileNotFoundError: If there is no such picture.
    """
    from rim_lightning.inference.faces import judged_as

    if not path.is_dir():
        return judged_as(choice.align(recognizer, path, side, writer), size)
    faces = []
    for picture in pictures_of(path, left_out):
        try:
            faces += judged_as(choice.align(recognizer, picture, side, writer), size)
        except (OSError, ValueError) as error:
            left_out[str(picture)] = sentence_of(error)
    if not faces:
        raise ValueError(f"{path} holds no picture that can be used: {next(iter(left_out.values()))}")
    return faces


def _face_options(sides: tuple[Side, ...], prefixes: tuple[str, ...], every: bool) -> Iterator[Callable[[Any], Any]]:
    """Yield the options of `face_options`, the last one of the help first."""
    text = "The pictures are aligned square faces already: no search for the face."
    if len(sides) > 1:
        text = "Pictures that are aligned square faces already: no search for the face. Without a word: both."
    yield click.option("--aligned", type=click.Choice((*SIDES, "both")), help=text)
    if every:
        yield click.option("--faces", type=click.Choice(["all"]), help="Answer for every face of the picture.")
    for prefix, place in zip(
        reversed(prefixes), ("the gallery picture", "the probe") if len(sides) > 1 else ("each picture",), strict=True
    ):
        yield click.option(f"--{prefix}box", type=BoxType(), help=f"Box in pixels around the face in {place}.")
        number = f"Number of the face in {place}, as rim faces counts; the largest is 1 and taken by default."
        yield click.option(f"--{prefix}face", type=click.IntRange(1), help=number)


def _one_face(values: dict[str, Any], prefix: str) -> int | Box | None:
    """Take the two options of one face out of the values."""
    argument = prefix.replace("-", "_")
    number, box = values.pop(f"{argument}face"), values.pop(f"{argument}box")
    if number is not None and box is not None:
        raise click.UsageError(f"Give one of --{prefix}face and --{prefix}box.")
    return box if number is None else number
