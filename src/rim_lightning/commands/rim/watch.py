"""`rim watch`: search the gallery for the people on pictures that arrive in a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options
from rim_lightning.commands.rim.face_questions import answers_to, question_of
from rim_lightning.commands.rim.gallery import heading_of, print_hits
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options, open_gallery
from rim_lightning.commands.rim.options import EXIT_CODES, Decision, Place, decision_options, index_option
from rim_lightning.commands.rim.output import echo_json, report_cautions, report_enlarged, report_notes, say

if TYPE_CHECKING:
    from rim_lightning.commands.rim.face_questions import FaceQuestion
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@index_option
@click.argument("folder", type=Place())
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="People for each picture.")
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.05, 3600),
    help="Seconds between two looks at FOLDER.",
)
@face_options("probe")
@decision_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each picture, a line each.")
def watch(
    model: ModelChoice,
    index: str,
    folder: Path,
    top: int,
    interval: float,
    choice: FaceChoice,
    decision: Decision,
    as_json: bool,
) -> None:
    """Search the gallery for the people on each picture that arrives in FOLDER, until Ctrl-C.

    A picture is searched for once it has not changed between two looks. A hidden file in FOLDER remembers what was
    answered: the same command, started again, does not ask again.

    \b
    Examples:
      rim watch frames --index known
      rim watch frames --index known --faces all --far 1e-4 --json
    """
    from rim_lightning.gallery.arrivals import Arrivals
    from rim_lightning.runs.signals import stopped_by_signals

    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}.")
    recognizer = decision.load(model)
    gallery = open_gallery(index, recognizer)
    question = [os.path.realpath(index), recognizer.probe_fingerprint, model.detector, top, choice, decision]
    arrivals = Arrivals(folder, repr(question))
    if arrivals.answered:
        say(f"{len(arrivals.answered)} pictures of {folder} were answered before", err=True)
    say(f"watching {folder}; Ctrl-C ends", err=True)
    with stopped_by_signals("the same command does not ask again about what was answered"):
        while True:
            for path in arrivals.poll():
                _answer(recognizer, gallery, path, top, choice, decision, as_json)
                arrivals.remember(path)
            time.sleep(interval)


def _answer(
    recognizer: Recognizer,
    gallery: Gallery,
    path: Path,
    top: int,
    choice: FaceChoice,
    decision: Decision,
    as_json: bool,
) -> None:
    """Search for the faces of one picture, and print the answers or why there are none."""
    from rim_lightning.files import printable
    from rim_lightning.inference.faces import judged_as
    from rim_lightning.inference.search_calibration import search_cautions

    left_out = None
    faces: list[AlignedFace] = []
    questions: list[FaceQuestion] = []
    try:
        faces = judged_as(choice.align(recognizer, path), decision.size)
        questions = [question_of(recognizer, gallery, face, decision.far) for face in faces]  # all or none
    except (OSError, ValueError) as error:
        name, reason = printable(str(path)), sentence_of(error)
        left_out = reason if name in reason else f"{name}: {reason}"  # a threshold knows no picture
        faces, questions = [], []
    answers = answers_to(gallery, questions, top)
    if as_json:
        echo_json({"picture": str(path), "probes": answers, "left_out": left_out})
        return
    for face, answer in zip(faces, answers, strict=True):
        report_notes([face])
        report_enlarged([face])
        report_cautions(str(path), search_cautions(answer))
        print_hits(answer, heading_of({"picture": str(path)} | answer, choice.every))
    if left_out:
        say(f"left out: {left_out}", err=True)
