"""rim_lightning.commands.rim.hallucinate."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from PIL import Image

from rim_lightning.commands.errors import _sentence
from rim_lightning.commands.rim.options import (
    EXIT_CODES,
    OutOfSpace,
    Place,
    _end,
    _model_options,
    _pictures,
    _progress,
    _recognizer,
    aligned_option,
    json_option,
)


@click.command(epilog=EXIT_CODES)
@_model_options
@click.argument("source", type=Place())
@click.argument("target", type=Place())
@click.option("--strip", is_flag=True, help="Bicubic, coarse, hallucinated, landmarks and parsing side by side.")
@click.option("--overwrite", is_flag=True, help="Write over files that are there.")
@aligned_option
@json_option
def hallucinate(
    model: Path, device: str, source: Path, target: Path, strip: bool, overwrite: bool, aligned: bool, as_json: bool
) -> None:
    """Write the sharp faces that the network makes of SOURCE, a picture or a folder, into TARGET, a PNG file or folder.

    \b
    Examples:
      rim hallucinate --model my_model cctv.png face.png
      rim hallucinate --model my_model cctv_folder faces_folder --strip
    """
    from PIL import Image

    from rim_lightning.functional.pixels import to_pixels
    from rim_lightning.inference.face_pictures import face_strip

    recognizer = _recognizer(model, device)
    paths = _pictures(source)
    single = not source.is_dir()
    if single and target.suffix.lower() != ".png":
        raise ValueError(f"{target} does not end in .png: the face of one picture is written as a PNG file.")
    targets = [target if single else (target / path.relative_to(source)).with_suffix(".png") for path in paths]
    _check_targets(source, paths, target, targets, overwrite)
    written, left_out = [], {}
    for path, file in zip(_progress(paths, "hallucinating"), targets, strict=True):
        try:
            faces = recognizer.hallucinate(path, aligned)
            pixels = to_pixels(faces.sr[0], black=0.0)
            _save(face_strip(faces, 0) if strip else Image.fromarray(pixels), file)
        except OutOfSpace as error:
            done = f"{len(written)} of {len(paths)} faces were written before it. Make space, then give"
            raise OutOfSpace(f"{error} {done} the rest again.") from error
        except (OSError, ValueError) as error:
            left_out[str(path)] = _sentence(error)
            continue
        written.append({"picture": str(path), "face": str(file), "size": round(float(faces.size[0]), 1)})
    if as_json:
        click.echo(json.dumps({"written": written, "left_out": left_out}))
    else:
        click.echo(f"{len(written)} of {len(paths)} faces written to {target}")
    _end(left_out, len(written), as_json)


def _check_targets(source: Path, paths: list[Path], target: Path, targets: list[Path], overwrite: bool) -> None:
    """Nothing that was given is written over, nor anything else unless that is wanted."""
    sources = {path.resolve() for path in paths}
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}, whose pictures are read: give another folder.")
    seen: dict[Path, Path] = {}
    for path, file in zip(paths, targets, strict=True):
        if file in seen:
            raise ValueError(f"{seen[file]} and {path} would both be written to {file}: rename one of them.")
        if file.resolve() in sources:
            raise ValueError(f"{file} would be written over, but it is a picture that is read: give another place.")
        if file.exists() and not overwrite:
            raise ValueError(f"{file} is there already: give another place, or --overwrite.")
        seen[file] = path


def _save(picture: Image.Image, file: Path) -> None:
    """Whole, or not at all; raises OSError, and on a full disk OutOfSpace."""
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(part, "PNG")
        part.replace(file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"{file} cannot be written: there is no space left.") from error
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        part.unlink(missing_ok=True)
