"""`rim faces`: number the faces of a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.device import check_device
from rim_lightning.commands.rim.answer_table import Output, output_options, write_answers
from rim_lightning.commands.rim.model_choice import detector_options
from rim_lightning.commands.rim.new_file import check_new_file, check_png
from rim_lightning.commands.rim.options import EXIT_CODES, NO, Place
from rim_lightning.commands.rim.output import echo_json, say

PLACE_COLUMNS = (
    *("x0", "y0", "x1", "y1"),
    *(f"{part}_{axis}" for part in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"),
)
FACE_COLUMNS = ("number", *PLACE_COLUMNS, "size", "confidence", "turned", "fault")

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rim_lightning.data.detector_choice import DetectorName
    from rim_lightning.data.detectors import Face


@click.command(epilog=EXIT_CODES)
@detector_options
@click.argument("picture", type=Place())
@click.argument("target", type=Place(), required=False)
@output_options
def faces(device: str, detector: DetectorName, picture: Path, target: Path | None, output: Output) -> None:
    """Number the faces of PICTURE: a row for each, and all of them drawn into TARGET, a PNG file.

    The numbers are those of --face in other commands: first the faces that can be used, the largest first, then the
    others. Exit code 0: there is a usable face, 1: there is none. No model is needed.

    \b
    Examples:
      rim faces frame.jpg numbered.png
      rim faces frame.jpg --json
      rim faces frame.jpg --csv faces.csv
      rim verify --model my_model frame.jpg passport.jpg --face 3
    """
    from rim_lightning.data.images import read_image
    from rim_lightning.files import check_folder
    from rim_lightning.inference.faces import FaceAligner, plain_face

    if target is not None:
        check_png(target)
        check_new_file(target, [os.path.realpath(picture)], output.overwrite)
        check_folder(target.parent, "place")
    output.check([picture], also=target)
    check_device(device, "--device ")
    image = read_image(picture)
    numbered = FaceAligner(1, detector, device).find(image, str(picture))
    if target is not None:
        _draw(image, numbered, target)
    plain = [plain_face(face, number) for number, face in enumerate(numbered, start=1)]
    if output.table is not None:
        write_answers(output.table, FACE_COLUMNS, map(_table_row, plain))
    if output.as_json:
        height, width = image.shape[:2]
        echo_json({"picture": str(picture), "width": width, "height": height, "detector": detector, "faces": plain})
    else:
        for number, face in enumerate(numbered, start=1):
            say(_row(number, face))
        if not numbered:
            say(f"{picture} shows no face that could be found", err=True)
        elif target is not None:
            say(f"drawn into {target}")
        if output.table is not None:
            say(f"written to {output.table}")
    sys.exit(0 if numbered and numbered[0].fault is None else NO)


def _draw(image: NDArray[np.uint8], numbered: list[Face], target: Path) -> None:
    """Draw the faces into a PNG file, above a legend."""
    from rim_lightning.functional.marked_faces import part_legend
    from rim_lightning.inference.face_pictures import (
        FAULTY_COLOR,
        USABLE_COLOR,
        numbered_faces,
        save_picture,
        with_legend,
    )

    boxes = {"usable face": USABLE_COLOR, "face that is not usable": FAULTY_COLOR}
    save_picture(with_legend(numbered_faces(image, numbered), part_legend(classes=False), boxes), target)


def _table_row(face: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one face in a table: box and points in pixels of the picture."""
    numbers = [*face["box"], *(value for point in face["points"] for value in point)]
    return face | dict(zip(PLACE_COLUMNS, numbers, strict=True))


def _row(number: int, face: Face) -> str:
    """Return the row of one face."""
    x0, y0, x1, y1 = face.box
    turned = f", turned by {face.turned}°" if face.turned else ""
    usable = "usable" if face.fault is None else f"not usable: {face.fault}"
    return (
        f"{number:3}  box {x0:.0f},{y0:.0f},{x1:.0f},{y1:.0f}  {face.size:.0f} px  confidence {face.confidence:.2f}"
        f"{turned}  {usable}"
    )
