"""`rim verify`: do two pictures show one person?"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.picture_notes import comparison_notes
from rim_lightning.commands.rim.answer_table import (
    PAIR_COLUMNS,
    POOLED_COLUMNS,
    Output,
    output_options,
    pooled_cells,
    write_answers,
)
from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options, faces_of, pictures_of
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options
from rim_lightning.commands.rim.options import EXIT_CODES, NO, Decision, Place, decision_options
from rim_lightning.commands.rim.output import echo_json, report_enlarged, report_left_out, report_notes, say
from rim_lightning.commands.rim.recording import CaseQuestion, RecordChoice, record_options, report_recorded
from rim_lightning.commands.rim.verify_pairs import PictureArgument, answer_row, pairs_option, verify_pairs
from rim_lightning.inference.verdict import unsharp

if TYPE_CHECKING:
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Verification


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@click.argument("probe", type=Place(), cls=PictureArgument)
@click.argument("gallery", type=Place(), cls=PictureArgument)
@pairs_option
@face_options("probe", "gallery")
@decision_options
@record_options
@output_options
def verify(
    model: ModelChoice,
    probe: Path,
    gallery: Path,
    pairs: Path | None,
    choice: FaceChoice,
    decision: Decision,
    record: RecordChoice,
    output: Output,
) -> None:
    """Do PROBE and GALLERY show one person?

    Each is a picture, or a folder of pictures of one person. Pictures of a folder that cannot be used are left out.
    Exit code 0: above the threshold, 1: below. With --faces all each face of PROBE is compared with GALLERY; 0: one of
    them is above. With --record the answer is kept for a case file; rim replay and rim report read it.

    --pairs answers a whole list, one answer for each row; exit code 0: all were answered, 3: some could not be. With
    --csv the answers are kept as they come: repeat the command to resume.

    \b
    Examples:
      rim verify --model my_model cctv.png passport.jpg
      rim verify --model my_model frame.jpg family.jpg --face 3 --gallery-face 2
      rim verify --model my_model cctv.png passport.jpg --far 1e-2 --json
      rim verify cctv.png passport.jpg --record case_7 --reviewer "Ana Lang" --report case_7.html
      rim verify --model my_model --pairs pairs.csv --csv answers.csv
    """
    from rim_lightning.case.record_content import CaseAnswer, plain_verification

    if pairs is not None:
        if record.home is not None:
            raise click.UsageError("A record is of one answer: leave --record out for --pairs.")
        verify_pairs(model, pairs, choice, decision, output)
    output.check(picture for place in (probe, gallery) for picture in pictures_of(place, {}))
    if choice.every and probe.is_dir():
        raise click.UsageError("--faces all needs one picture as PROBE, not a folder.")
    recognizer = decision.load(model)
    left_out: dict[str, str] = {}
    with record.opened() as writer:
        probe_faces = faces_of(recognizer, probe, choice, "probe", left_out, decision.size, writer)
        people = [[face] for face in probe_faces] if choice.every else [probe_faces]
        gallery_faces = faces_of(recognizer, gallery, choice, "gallery", left_out, writer=writer)
        both = [(recognizer.verify(probes, gallery_faces, decision.far), probes) for probes in people]
        cases = [CaseAnswer(probes, gallery_faces, plain_verification(answer)) for answer, probes in both]
        recorded = record.finish(writer, recognizer, CaseQuestion(model, decision, choice), cases, left_out)
    notes = [comparison_notes(answer, (*probes, *gallery_faces), recognizer.rim.hr_size) for answer, probes in both]
    _write_table(output.table, probe, gallery, both, notes, left_out)
    if output.as_json:
        plain = [_plain(*pair, gallery_faces) | {"notes": own} for pair, own in zip(both, notes, strict=True)]
        echo_json(({"faces": plain} if choice.every else plain[0]) | {"left_out": left_out} | recorded)
    else:
        report_notes(probe_faces)
        report_notes(gallery_faces, "--gallery-face")
        report_enlarged(probe_faces + gallery_faces)
        report_left_out(left_out)
        _print_answers(both, choice.every, recognizer.rim.hr_size)
        if output.table is not None:
            say(f"written to {output.table}")
        report_recorded(recorded)
    sys.exit(0 if any(answer.accepted for answer, _ in both) else NO)


def _print_answers(answers: Iterable[tuple[Verification, list[AlignedFace]]], numbered: bool, hr_size: int) -> None:
    """Print the answers, with the numbers of their faces if asked for."""
    from rim_lightning.inference.faces import SHARP

    for answer, probes in answers:
        if numbered:
            say(f"face {probes[0].number}:")
        _print_answer(answer, SHARP * hr_size)


def _write_table(
    table: Path | None,
    probe: Path,
    gallery: Path,
    answers: Iterable[tuple[Verification, list[AlignedFace]]],
    notes: Iterable[list[str]],
    left_out: dict[str, str],
) -> None:
    """Write a row for each answer with its notes, and for each picture that was left out, if a table is wanted."""
    if table is None:
        return
    rows: list[dict[str, Any]] = []
    for (answer, probes), own in zip(answers, notes, strict=True):
        pictures = {"probe": probe, "gallery": gallery, "face": probes[0].number or None}
        quality = None if answer.pooled_quality is None else answer.pooled_quality._asdict()
        rows.append(pictures | answer_row(answer, own) | pooled_cells(quality))
    rows += ({"probe": picture, "error": reason} for picture, reason in left_out.items())
    write_answers(table, ("probe", "gallery", "face", *PAIR_COLUMNS, *POOLED_COLUMNS), rows)


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
    for line in (*answer.cautions(), *answer.in_words()):
        say(line)
