"""`rim hallucinate`: write the sharp faces that the network makes of probes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options, pictures_of
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options
from rim_lightning.commands.rim.new_file import check_new_file, check_png
from rim_lightning.commands.rim.options import EXIT_CODES, Place, json_option
from rim_lightning.commands.rim.output import (
    echo_json,
    exit_if_left_out,
    progress_bar,
    report_left_out,
    report_notes,
    say,
)


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@click.argument("source", type=Place())
@click.argument("target", type=Place())
@click.option("--strip", is_flag=True, help="Bicubic, coarse, hallucinated, landmarks and parsing side by side.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@face_options("probe")
@json_option
def hallucinate(
    model: ModelChoice,
    source: Path,
    target: Path,
    choice: FaceChoice,
    strip: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the sharp faces that the network makes of SOURCE.

    SOURCE is a picture, and TARGET the PNG file to write; or both are folders. With --faces all the number of the face
    is added to the name of its file.

    \b
    Examples:
      rim hallucinate --model my_model cctv.png face.png
      rim hallucinate --model my_model cctv_folder faces_folder --strip
    """
    from rim_lightning.inference.face_pictures import face_strip, save_picture, sharp_face

    recognizer = model.load()
    left_out: dict[str, str] = {}
    paths = pictures_of(source, left_out)
    targets = _targets(source, paths, target)
    _check_targets(source, paths, target, targets, overwrite, choice.every)
    written: list[dict[str, Any]] = []
    for path, file in zip(progress_bar(paths, "hallucinating"), targets, strict=True):
        try:
            for face in choice.align(recognizer, path):
                own = file.with_stem(f"{file.stem}_{face.number}") if choice.every else file
                if choice.every:
                    check_new_file(own, [os.path.realpath(path)], overwrite)
                faces = recognizer.hallucinate([face])
                save_picture(face_strip(faces, 0) if strip else sharp_face(faces, 0), own)
                size = round(float(faces.size[0]), 1)
                written.append({"picture": str(path), "face": str(own), "size": size, "found": face.plain_found()})
                if not as_json:
                    report_notes([face])
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(
                    f"{file} cannot be written: there is no space left. {len(written)} of {len(paths)} faces were "
                    "written before it. Free space, then repeat the command with the remaining pictures."
                ) from error
            left_out[str(path)] = sentence_of(error)
    if as_json:
        echo_json({"written": written, "left_out": left_out})
    else:
        if choice.every:
            pictures = {entry["picture"] for entry in written}
            say(f"{len(written)} faces of {len(pictures)} pictures written beside {target}")
        else:
            say(f"{len(written)} of {len(paths)} faces written to {target}")
        report_left_out(left_out)
    exit_if_left_out(len(left_out), len(written))


def _targets(source: Path, paths: list[Path], target: Path) -> list[Path]:
    """Return the file that each picture is written to."""
    if source.is_dir():
        return [(target / path.relative_to(source)).with_suffix(".png") for path in paths]
    check_png(target)
    return [target]


def _check_targets(
    source: Path, paths: list[Path], target: Path, targets: list[Path], overwrite: bool, numbered: bool
) -> None:
    """Check that no input is overwritten, no other file without `overwrite`, and that there is a place to write to."""
    from rim_lightning.files import check_folder

    if source.is_dir() and Path(os.path.realpath(target)).is_relative_to(os.path.realpath(source)):
        raise ValueError(f"{target} lies in {source}, whose pictures are read: choose another folder.")
    sources = {os.path.realpath(path) for path in paths}
    pictures: dict[Path, Path] = {}
    for path, file in zip(paths, targets, strict=True):
        if file in pictures:
            raise ValueError(f"{pictures[file]} and {path} would both be written to {file}: rename one of them.")
        check_new_file(file, sources, overwrite or numbered)  # the files of numbered faces have other names
        pictures[file] = path
    check_folder(target if source.is_dir() else target.parent, "place")
