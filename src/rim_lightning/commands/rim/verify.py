"""`rim verify`: do two pictures show one person?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options, faces_of
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options
from rim_lightning.commands.rim.options import EXIT_CODES, NO, Decision, Place, decision_options, json_option
from rim_lightning.commands.rim.output import echo_json, report_enlarged, report_left_out, report_notes, say
from rim_lightning.commands.rim.recording import CaseQuestion, RecordChoice, record_options, report_recorded
from rim_lightning.inference.verdict import unsharp

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Verification


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@click.argument("probe", type=Place())
@click.argument("gallery", type=Place())
@face_options("probe", "gallery")
@decision_options
@record_options
@json_option
def verify(
    model: ModelChoice,
    probe: Path,
    gallery: Path,
    choice: FaceChoice,
    decision: Decision,
    record: RecordChoice,
    as_json: bool,
) -> None:
    """Do PROBE and GALLERY show one person?

    Each is a picture, or a folder of pictures of one person. Pictures of a folder that cannot be used are left out.
    Exit code 0: above the threshold, 1: below. With --faces all each face of PROBE is compared with GALLERY; 0: one of
    them is above. With --record the answer is kept for a case file; rim replay and rim report read it.

    \b
    Examples:
      rim verify --model my_model cctv.png passport.jpg
      rim verify --model my_model frame.jpg family.jpg --face 3 --gallery-face 2
      rim verify --model my_model cctv.png passport.jpg --far 1e-2 --json
      rim verify cctv.png passport.jpg --record case_7 --reviewer "Ana Lang" --report case_7.html
    """
    from rim_lightning.case.record_content import CaseAnswer, plain_verification
    from rim_lightning.inference.faces import SHARP

    if choice.every and probe.is_dir():
        raise click.UsageError("--faces all needs one picture as PROBE, not a folder.")
    recognizer = decision.load(model)
    left_out: dict[str, str] = {}
    with record.opened() as writer:
        probe_faces = faces_of(recognizer, probe, choice, "probe", left_out, decision.size, writer)
        people = [[face] for face in probe_faces] if choice.every else [probe_faces]
        gallery_faces = faces_of(recognizer, gallery, choice, "gallery", left_out, writer=writer)
        answers = [recognizer.verify(probes, gallery_faces, decision.far) for probes in people]
        both = list(zip(answers, people, strict=True))
        recorded = record.finish(
            writer,
            recognizer,
            CaseQuestion(model, decision, choice),
            [CaseAnswer(probes, gallery_faces, plain_verification(answer)) for answer, probes in both],
            left_out,
        )
    if as_json:
        plain = [_plain(answer, probes, gallery_faces) for answer, probes in both]
        echo_json(({"faces": plain} if choice.every else plain[0]) | {"left_out": left_out} | recorded)
    else:
        report_notes(probe_faces)
        report_notes(gallery_faces, "--gallery-face")
        report_enlarged(probe_faces + gallery_faces)
        report_left_out(left_out)
        for answer, probes in both:
            if choice.every:
                say(f"face {probes[0].number}:")
            _print_answer(answer, SHARP * recognizer.rim.hr_size)
        report_recorded(recorded)
    sys.exit(0 if any(answer.accepted for answer in answers) else NO)


def _plain(answer: Verification, probes: list[AlignedFace], gallery: list[AlignedFace]) -> dict[str, Any]:
    """Return an answer for a JSON object, with the place of each face."""
    from rim_lightning.case.record_content import plain_verification

    return plain_verification(answer) | {
        "probe_faces": [face.faces for face in probes],
        "gallery_faces": [face.faces for face in gallery],
        "probe_pixels": [face.pixels_across for face in probes],
        "gallery_pixels": [face.pixels_across for face in gallery],
        "probe_found": [face.plain_found() for face in probes],
        "gallery_found": [face.plain_found() for face in gallery],
    }


def _print_answer(answer: Verification, sharp_size: float) -> None:
    """Print the answer; warn if the gallery face is smaller than `sharp_size` pixels."""
    if warning := unsharp(answer.gallery_size, sharp_size):
        say(warning, err=True)
    for line in answer.in_words():
        say(line)
