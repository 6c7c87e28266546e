"""`rim hallucinate`: write the sharp faces that the network makes of probes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@click.argument("source", type=Place())
@click.argument("target", type=Place())
@click.option("--strip", is_flag=True, help="Bicubic, coarse, hallucinated, landmarks and parsing side by side.")
@click.option(
    "--paste",
    is_flag=True,
    help="The whole picture with the face pasted in, marked as no photograph; all with --faces.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@face_options("probe")
@json_option
def hallucinate(
    model: ModelChoice,
    source: Path,
    target: Path,
    choice: FaceChoice,
    strip: bool,
    paste: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the sharp faces that the network makes of SOURCE.

    SOURCE is a picture, and TARGET the PNG file to write; or both are folders. With --faces all the number of the face
    is added to the name of its file. --paste enlarges the picture by a whole factor, so that a small face is seen.

    \b
    Examples:
      rim hallucinate --model my_model cctv.png face.png
      rim hallucinate --model my_model cctv_folder faces_folder --strip
      rim hallucinate --model my_model frame.jpg marked.png --paste --faces all
    """
    if strip and paste:
        raise click.UsageError("Give one of --strip and --paste.")
    if paste and choice.aligned:
        raise click.UsageError("--paste needs the picture that the face was found in: leave --aligned out.")
    kind = _Kind(strip, paste, choice.every and not paste)
    recognizer = model.load()
    left_out: dict[str, str] = {}
    paths = pictures_of(source, left_out)
    targets = _targets(source, paths, target)
    _check_targets(source, paths, target, targets, overwrite, kind.numbered)
    written: list[dict[str, Any]] = []
    for path, file in zip(progress_bar(paths, "hallucinating"), targets, strict=True):
        try:
            faces = choice.align(recognizer, path)
            if kind.numbered:
                for number in (face.number for face in faces):
                    check_new_file(kind.own(file, number), [os.path.realpath(path)], overwrite)
            written += _write(recognizer, model.chosen_path().name, path, file, faces, kind)
            if not as_json:
                report_notes(faces)
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
        _report(written, len(paths), target, kind)
        report_left_out(left_out)
    exit_if_left_out(len(left_out), len(written))


class _Kind(NamedTuple):
    """What is written: strips, whole pictures, or faces; and whether each face has a file of its own."""

    strip: bool
    paste: bool
    numbered: bool

    def own(self, file: Path, number: int) -> Path:
        """Return the file of a face."""
        return file.with_stem(f"{file.stem}_{number}") if self.numbered else file


def _write(
    recognizer: Recognizer, model: str, path: Path, file: Path, aligned: list[AlignedFace], kind: _Kind
) -> Iterator[dict[str, Any]]:
    """Write the faces of a picture, and yield what was written for each."""
    from rim_lightning.inference.face_pictures import face_strip, hallucination_texts, save_picture, sharp_face

    texts = hallucination_texts(model, recognizer.probe_fingerprint)
    if kind.paste:
        factor = _write_pasted(recognizer, path, file, aligned, texts)
        for face in aligned:
            about = {"size": round(face.size, 1), "enlarged": factor}
            yield {"picture": str(path), "face": str(file), **about, "found": face.plain_found()}
        return
    for face in aligned:
        own = kind.own(file, face.number)
        faces = recognizer.hallucinate([face])
        save_picture(face_strip(faces, 0) if kind.strip else sharp_face(faces, 0), own, texts)
        size = round(float(faces.size[0]), 1)
        yield {"picture": str(path), "face": str(own), "size": size, "found": face.plain_found()}


def _write_pasted(
    recognizer: Recognizer, path: Path, file: Path, aligned: list[AlignedFace], texts: dict[str, str]
) -> int:
    """Write a picture with its faces pasted in, and return the factor by which it is enlarged."""
    import numpy as np

    from rim_lightning.data.images import read_image
    from rim_lightning.inference.face_pictures import save_picture, sharp_face
    from rim_lightning.inference.pasted_faces import PastedFace, frame_factor, paste_faces, with_caption

    image = read_image(path)
    faces = recognizer.hallucinate(aligned)
    pasted = [
        PastedFace(np.asarray(sharp_face(faces, index)), face.found.points, face.found.size)
        for index, face in enumerate(aligned)
        if face.found is not None
    ]
    factor = frame_factor(image.shape, pasted)
    low, high = (f"{end(face.size for face in aligned):.0f}" for end in (min, max))  # as they are judged
    sizes = f"{low} px" if low == high else f"{low} to {high} px"
    enlarged = "" if factor == 1 else f" The picture around it is enlarged {factor} times, pixel by pixel."
    lines = [
        f"{texts['Title']}. A network made what is within the orange border, of a face of {sizes}.{enlarged}",
        f"{texts['Software']}, {texts['Source']}",
    ]
    save_picture(with_caption(paste_faces(image, pasted, factor), lines), file, texts)
    return factor


def _report(written: list[dict[str, Any]], pictures: int, target: Path, kind: _Kind) -> None:
    """Say how many faces were written."""
    done = len({entry["picture"] for entry in written})
    if kind.paste:
        say(f"{len(written)} faces pasted into {done} of {pictures} pictures, written to {target}")
        for factor in sorted({entry["enlarged"] for entry in written} - {1}):
            say(f"enlarged {factor} times, pixel by pixel, so that small faces are seen")
    elif kind.numbered:
        say(f"{len(written)} faces of {done} pictures written beside {target}")
    else:
        say(f"{len(written)} of {pictures} faces written to {target}")


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
