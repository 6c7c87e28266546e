"""Options, exit codes and functions that the sub-commands of `rim` share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.errors import FAULT, INTERRUPTED, PARTLY, Hints, one_sentence, sentence_of
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DETECTORS, DetectorName, checked_detector
from rim_lightning.extras import require_extra
from rim_lightning.inference.verdict import DEFAULT_FAR

if TYPE_CHECKING:
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import Aligned, AlignedFace, Box, Side
    from rim_lightning.inference.recognizer import Recognizer

SMALLEST_FACE = 7  # pixels; `images.MIN_SIDE`, without an import of numpy
NO, WRONG = 1, 2
"""Exit codes: the answer is no; wrong input."""

EXIT_CODES = (
    f"Exit codes: 0 done, or the answer is yes; {NO} the answer is no; {WRONG} stopped by wrong input; {PARTLY} done, "
    f"but some pictures were left out, or differ from the gallery; {FAULT} a fault of this program; {INTERRUPTED} "
    "interrupted."
)
Item = TypeVar("Item")
Command = TypeVar("Command", bound=Callable[..., Any])


class Group(click.Group):
    """Command group that reports every error in one sentence.

    Errors never exit with code 1, which means the answer "no".
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Wrong input ends it with exit code 2."""
        with one_sentence("rim", Hints(wrong=WRONG)):
            return super().invoke(ctx)


class Place(click.Path):
    """A path that is not empty: an unset variable of a script is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if it is empty."""
        if value == "":
            self.fail("the path is empty.", param, ctx)
        return super().convert(value, param, ctx)


def _face_size(ctx: click.Context, param: click.Parameter, size: float | None) -> float | None:
    """Return the value of `--size`; refuse what is no size of a face."""
    if size is not None and not SMALLEST_FACE <= size < float("inf"):
        raise click.BadParameter(f"{size:g} is no side of a face: give at least {SMALLEST_FACE} pixels.")
    return size


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

    def align(self, recognizer: Recognizer, picture: Path, side: Side = "probe") -> list[AlignedFace]:
        """Align the chosen face of a picture, or all of them.

        Args:
            recognizer: The model.
            picture: The picture.
            side: Side that it is on.

        Returns:
            At least one face.

        Raises:
            ValueError: If the picture cannot be used, or does not show the face.
            FileNotFoundError: If there is no such picture.
        """
        from rim_lightning.inference.faces import is_aligned

        if self.every and side == "probe":
            return recognizer.align_all(picture)
        face = self.gallery_face if side == "gallery" else self.face
        return recognizer.align(picture, is_aligned(self.aligned, side), face=face)


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


far_option = click.option(
    "--far",
    default=DEFAULT_FAR,
    show_default=True,
    help="False accept rate of one comparison.",
)
size_option = click.option(
    "--size",
    type=float,
    callback=_face_size,
    help="Side of the probe's face in pixels, if you know it better than the picture tells: it decides the threshold.",
)
demo_option = click.option(
    "--demo", is_flag=True, help="Try a model out whose thresholds were chosen on synthetic faces; else it is refused."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")


def _searchable(ctx: click.Context, param: click.Parameter, index: str | None) -> str | None:
    """Return the value of `--index`; refuse it where galleries cannot be opened, before a model is loaded."""
    if index == "":
        raise click.BadParameter("the path is empty.")
    if index is not None:
        require_extra("gallery", "A gallery")
    return index


index_option = click.option(
    "--index",
    "-i",
    required=True,
    callback=_searchable,
    help="Gallery: a folder, or an object store (s3://…, gs://…, az://…).",
)
optional_index_option = click.option("--index", "-i", callback=_searchable, help="Gallery to search.")


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


def _utf8(content: Any) -> Any:
    """Return plain containers with text that every reader of JSON takes: bytes of names that are no UTF-8 as \\xe9."""
    from rim_lightning.files import without_surrogates

    if isinstance(content, dict):
        return {_utf8(key): _utf8(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_utf8(value) for value in content]
    return without_surrogates(content) if isinstance(content, str) else content


@dataclass(frozen=True)
class ModelChoice:
    """What the options `--model`, `--device` and `--detector` say.

    Attributes:
        path: Model folder or checkpoint. None if the option was left out where it may be.
        device: Device as PyTorch calls it.
        detector: What finds the faces.
    """

    path: Path | None
    device: str
    detector: DetectorName

    def load(self, demo: bool = False) -> Recognizer:
        """Load the recognizer.

        Args:
            demo: True to decide even if the thresholds were chosen on synthetic faces.

        Returns:
            The recognizer, on the device.

        Raises:
            ValueError: If there is no such device, or the model is damaged.
            FileNotFoundError: If there is no such model.
        """
        if self.path is None:
            raise click.UsageError("Missing option '--model' / '-m'.")
        check_device(self.device)
        from rim_lightning.inference.recognizer import Recognizer

        return Recognizer.from_checkpoint(self.path, device=self.device, detector=self.detector, demo=demo)


def check_device(device: str) -> None:
    """Check that PyTorch has a device.

    Args:
        device: Device as PyTorch calls it.

    Raises:
        ValueError: If there is none of that name here.
    """
    import torch

    try:
        requested = torch.device(device)
    except RuntimeError:
        raise ValueError(f"--device {device} is not a device of PyTorch: choose cpu, cuda or cuda:1.") from None
    if requested.type == "cuda" and (requested.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {device}, but PyTorch finds no such CUDA device here: set --device cpu.")


def check_png(target: Path) -> None:
    """Check that a path is a place for a PNG file.

    Raises:
        ValueError: If it has another ending, or is a folder.
    """
    if target.suffix.lower() != ".png":
        raise ValueError(f"{target} does not end in .png: give the PNG file to write.")
    if target.is_dir():
        raise ValueError(f"{target} is a folder: give the PNG file to write.")


def check_new_file(file: Path, sources: Collection[str], overwrite: bool) -> None:
    """Check that a file may be written.

    Args:
        file: The file.
        sources: Real paths of the pictures that are read.
        overwrite: True if another file may be replaced.

    Raises:
        ValueError: If it is one of the pictures, or exists already.
    """
    if os.path.realpath(file) in sources:
        raise ValueError(f"{file} is a picture that is read, and would be overwritten: choose another place.")
    if file.exists() and not overwrite:
        raise ValueError(f"{file} exists already: choose another place, or add --overwrite.")


def detector_options(command: Command) -> Command:
    """Add `--device` and `--detector` to a command."""
    detector_option = click.option(
        "--detector",
        type=click.Choice(DETECTORS),
        default=DEFAULT_DETECTOR,
        show_default=True,
        callback=lambda ctx, param, name: checked_detector(name),  # before a model is loaded
        help="What finds the faces; mtcnn needs facenet-pytorch.",
    )
    device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, …")
    return device_option(detector_option(command))


def model_options(command: Command) -> Command:
    """Add `--model`, `--device` and `--detector` to a command, which gets them as one `ModelChoice`."""
    return _with_model(command, required=True, text="Model folder or checkpoint.")


def optional_model_options(command: Command) -> Command:
    """Add the options of `model_options`, of which `--model` may be left out."""
    return _with_model(command, required=False, text="Model folder or checkpoint; what rim-embed wrote needs none.")


def _with_model(command: Command, required: bool, text: str) -> Command:
    @wraps(command)
    def with_choice(*, model: Path | None, device: str, detector: DetectorName, **values: Any) -> Any:
        return command(model=ModelChoice(model, device, detector), **values)

    with_options: Any = detector_options(with_choice)
    return click.option("--model", "-m", required=required, type=Place(), help=text)(with_options)


def open_gallery(index: str, recognizer: Recognizer, create: bool = False) -> Gallery:
    """Open the gallery of a model.

    Args:
        index: Address of the gallery.
        recognizer: The model.
        create: True to make the gallery if there is none.

    Returns:
        The gallery.
    """
    from rim_lightning.gallery.index import Gallery

    return Gallery(index, recognizer.fingerprint, recognizer.embedding_size, create)


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
    recognizer: Recognizer, path: Path, choice: FaceChoice, side: Side, left_out: dict[str, str]
) -> list[AlignedFace]:
    """Align the face of a picture, or those of all usable pictures of a folder.

    Args:
        recognizer: The model.
        path: Picture or folder.
        choice: Which faces are meant.
        side: Side that the pictures are on.
        left_out: Picture -> reason. Pictures of the folder that cannot be used are added.

    Returns:
        The faces, at least one.

    Raises:
        ValueError: If the picture, or all pictures of the folder, cannot be used.
        FileNotFoundError: If there is no such picture.
    """
    if not path.is_dir():
        return choice.align(recognizer, path, side)
    faces = []
    for picture in pictures_of(path, left_out):
        try:
            faces += choice.align(recognizer, picture, side)
        except (OSError, ValueError) as error:
            left_out[str(picture)] = sentence_of(error)
    if not faces:
        raise ValueError(f"{path} holds no picture that can be used: {next(iter(left_out.values()))}")
    return faces


def progress_bar(items: Sequence[Item], title: str, unit: str = "picture") -> Iterable[Item]:
    """Wrap items in a progress bar, unless there is one item or no terminal."""
    from rim_lightning.runs import progress  # not at the top of the file: `--help` should not wait for it

    return progress.progress_bar(items, desc=title, unit=unit, leave=False, shown=len(items) > 1)


def report_notes(faces: Iterable[AlignedFace]) -> None:
    """Print on the error output what a user should know about the faces: there are several, or one is turned."""
    from rim_lightning.inference.faces import SEVERAL

    for face in faces:
        for note in face.notes:
            hint = " (--face N takes another one; rim faces numbers them)" if note.endswith(SEVERAL) else ""
            say(f"{face.name} {note}{hint}", err=True)


def report_enlarged(faces: Iterable[AlignedFace]) -> None:
    """Name the pictures that somebody enlarged on the error output."""
    for face in faces:
        if remark := face.remark():
            say(f"{remark} (--size, for a probe, if you know better)", err=True)


def report_left_out(left_out: dict[str, str]) -> None:
    """Print on the error output why each picture was left out."""
    for reason in left_out.values():
        say(f"left out: {reason}", err=True)


def exit_if_left_out(left_out: int, done: int) -> None:
    """End the command if pictures were left out. The exit code says whether any other picture was done."""
    if left_out:
        sys.exit(PARTLY if done else WRONG)
