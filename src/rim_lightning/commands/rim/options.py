"""rim_lightning.commands.rim.options."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.errors import _sentence

if TYPE_CHECKING:
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer

DEFAULT_FAR = 1e-3


NO, WRONG, SOME, BROKEN, INTERRUPTED = 1, 2, 3, 70, 130


EXIT_CODES = (
    "Exit codes: 0 done, or the answer is yes; 1 the answer is no; 2 stopped by wrong input; 3 done, but some pictures "
    "were left out; 70 a fault of this program; 130 interrupted."
)

Result = TypeVar("Result")


device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, …")


aligned_option = click.option(
    "--aligned", is_flag=True, help="The pictures are aligned square faces already: no search for the face."
)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


index_option = click.option(
    "--index", "-i", required=True, help="Gallery: a folder, or an object store (s3://…, gs://…, az://…)."
)


class OutOfSpace(Exception):
    """Nothing more can be written: one sentence."""


class Group(click.Group):
    """Commands whose errors are one sentence, and of which none looks like the answer no."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the user can mend ends with exit code 2."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has seen enough
            sys.stdout = open(os.devnull, "w")
            sys.exit(INTERRUPTED)
        except (OSError, ValueError, ImportError, OutOfSpace) as error:
            click.echo(f"rim: {_sentence(error)}", err=True)
            sys.exit(WRONG)
        except (KeyboardInterrupt, click.Abort):
            click.echo("rim: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception:
            traceback.print_exc()
            click.echo("rim: this is a fault of the program: please report it with what stands above.", err=True)
            sys.exit(BROKEN)


class Place(click.Path):
    """A path that is not empty: an unset variable of a script is no place."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails for an empty one."""
        if value == "":
            self.fail("the path is empty.", param, ctx)
        return super().convert(value, param, ctx)


def _model_options(command: Callable) -> Callable:
    for option in (
        device_option,
        click.option("--model", "-m", required=True, type=Place(), help="Model folder or checkpoint."),
    ):
        command = option(command)
    return command


def _recognizer(model: Path, device: str) -> Recognizer:
    import torch

    from rim_lightning.inference.recognizer import Recognizer

    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ValueError(f"--device {device} is none that PyTorch knows: give cpu, cuda or cuda:1.") from None
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {device}, but PyTorch finds no such CUDA device here: give --device cpu.")
    return Recognizer.from_checkpoint(model, device=device)


def _gallery(index: str, recognizer: Recognizer, create: bool = False) -> Gallery:
    from rim_lightning.gallery.index import Gallery

    return Gallery(index, recognizer.fingerprint, recognizer.embedding_size, create)


def _pictures(path: Path) -> list[Path]:
    from rim_lightning.data.images import image_files

    return image_files(path) if path.is_dir() else [path]


def _faces(recognizer: Recognizer, path: Path, aligned: bool, left_out: dict[str, str]) -> list[AlignedFace]:
    """The faces of a picture, or of those of a folder that can be used."""
    if not path.is_dir():
        return recognizer.align(path, aligned)
    faces = []
    for picture in _pictures(path):
        try:
            faces += recognizer.align(picture, aligned)
        except (OSError, ValueError) as error:
            left_out[str(picture)] = _sentence(error)
    if not faces:
        raise ValueError(f"{path} holds no picture that can be used: {next(iter(left_out.values()))}")
    return faces


def _progress(items: Sequence[Result], title: str, unit: str = "picture") -> Iterator[Result]:
    from tqdm import tqdm

    return tqdm(items, desc=title, unit=unit, leave=False, disable=len(items) == 1 or not sys.stderr.isatty())


def _tell_of_many(faces: list[AlignedFace]) -> None:
    for face in faces:
        if face.faces > 1:
            click.echo(f"{face.name} shows {face.faces} faces: the largest was taken", err=True)


def _name(left_out: dict[str, str]) -> None:
    for why in left_out.values():
        click.echo(f"left out: {why}", err=True)


def _end(left_out: dict[str, str], done: int, as_json: bool) -> None:
    """Names what was left out; exits with what became of the whole."""
    if not as_json:
        _name(left_out)
    if left_out:
        sys.exit(SOME if done else WRONG)
