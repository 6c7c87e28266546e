"""`rim replay`: does a record still give the same answer?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.device import check_device
from rim_lightning.commands.rim.face_choice import FaceChoice
from rim_lightning.commands.rim.model_choice import ModelChoice, open_gallery
from rim_lightning.commands.rim.options import EXIT_CODES, NO, Decision, Place, json_option, optional_index_option
from rim_lightning.commands.rim.output import echo_json, say

if TYPE_CHECKING:
    from rim_lightning.case.differences import ChangedEntry
    from rim_lightning.case.record_content import CaseAnswer
    from rim_lightning.case.record_schema import CaseRecord
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace, Box
    from rim_lightning.inference.recognizer import Recognizer


@click.command(epilog=EXIT_CODES)
@click.argument("record", type=Place())
@click.option("--model", "-m", type=Place(), help="The model, if the record was not made by that of the package.")
@optional_index_option
@json_option
def replay(record: Path, model: Path | None, index: str | None, as_json: bool) -> None:
    """Answer again from the pictures of RECORD, and compare bit for bit.

    RECORD is a folder that --record of rim verify or rim identify made. The settings are those of the record, and so is
    the number of threads. The record of a search needs its gallery, --index. Exit code 0: the same bits, 1: something
    differs, 2: it could not be answered again.

    \b
    Examples:
      rim replay case_7/2026-03-01_10-30-00.123456
      rim replay case_7/2026-03-01_10-30-00.123456 --model my_model --index known --json
    """
    from rim_lightning.case.record_folder import read_record

    content = read_record(record)
    altered, context, answered = compare(record, content, model, index)
    same = not altered and not answered
    if as_json:
        groups = {"altered": altered, "context": context, "answers": answered}
        echo_json({"same": same} | {name: [entry._asdict() for entry in group] for name, group in groups.items()})
    else:
        for title, group in (
            ("altered since it was recorded", altered),
            ("what may explain a difference", context),
            ("the answer", answered),
        ):
            for entry in group:
                say(f"{title}: {entry.in_words()}")
        say("the same bits" if same else "NOT the same as recorded")
    sys.exit(0 if same else NO)


def compare(
    folder: Path, record: CaseRecord, model: Path | None, index: str | None
) -> tuple[list[ChangedEntry], list[ChangedEntry], list[ChangedEntry]]:
    """Answer the question of a record again, and compare.

    Args:
        folder: Folder of the record.
        record: Its content.
        model: Model folder or checkpoint; None for the model of the package.
        index: Gallery of a search.

    Returns:
        Files that were altered since, by their digests; what differs in model, thresholds, gallery and versions; and
        what differs in faces and answers.

    Raises:
        ValueError: If it cannot be answered again.
        FileNotFoundError: If a picture, the model or the gallery is missing.
    """
    from rim_lightning.case.differences import ANSWERS, CONTEXT, ChangedEntry, differences
    from rim_lightning.case.record_content import answer_content, model_content, versions
    from rim_lightning.case.record_folder import altered_files, check_complete, check_unaltered
    from rim_lightning.commands.rim.recording import gallery_state

    choice = _model_of(record, model)
    _check_index(record, index)
    check_complete(folder, record)
    recognizer = _decision(folder, record).load(choice)
    gallery = open_gallery(index, recognizer) if index is not None else None
    try:
        answers = _answers(folder, record, recognizer, gallery)
    except (OSError, ValueError):
        check_unaltered(folder, record)  # an altered file is the reason, and the error would name the first picture
        raise
    positions: dict[tuple[str, str], int] = {
        (picture.side, picture.name): place for place, picture in enumerate(record.pictures)
    }
    state = None if gallery is None else gallery_state(gallery)
    now = answer_content(recognizer, answers, positions, state)
    now |= {"model": model_content(recognizer, choice.chosen_path()), "versions": versions()}
    now["thresholds"]["file"] = record.thresholds.file
    before = record.model_dump()
    context, answered = (
        [entry for name in names for entry in differences(before[name], now[name], name)]
        for names in (CONTEXT, ANSWERS)
    )
    return [ChangedEntry(*entry) for entry in altered_files(folder, record)], context, answered


def _model_of(record: CaseRecord, model: Path | None) -> ModelChoice:
    """Return the choice of the model. No path that a record names is opened: somebody else may have written it."""
    from rim_lightning.data.detector_choice import DETECTORS, checked_detector

    if model is None and record.settings.model is not None:
        raise click.UsageError(
            f"The record was made by the model {record.settings.model} (fingerprint {record.model.fingerprint}): give "
            "it as --model."
        )
    detector = next((name for name in DETECTORS if name == record.settings.detector), None)
    if detector is None:
        raise ValueError(f"The record names the detector {record.settings.detector}, which this version does not know.")
    device = record.settings.device
    try:
        check_device(device, "")
    except ValueError:
        raise ValueError(
            f"The record was computed on {device}, which is not here: replay it where there is one."
        ) from None
    return ModelChoice(model, device, checked_detector(detector))


def _check_index(record: CaseRecord, index: str | None) -> None:
    if record.command == "identify" and index is None:
        raise click.UsageError(f"The record is of a search in the gallery {record.settings.index}: give it as --index.")
    if record.command == "verify" and index is not None:
        raise click.UsageError("The record is of a verification, which has no gallery: leave --index out.")


def _decision(folder: Path, record: CaseRecord) -> Decision:
    from rim_lightning.case.record_folder import CALIBRATION

    calibration = None if record.thresholds.file is None else folder / CALIBRATION
    return Decision(record.settings.far, record.settings.size, record.settings.demo, calibration)


def _answers(folder: Path, record: CaseRecord, recognizer: Recognizer, gallery: Gallery | None) -> list[CaseAnswer]:
    """Answer again, with the number of threads of the record."""
    import torch

    from rim_lightning.case.record_content import CaseAnswer, plain_verification
    from rim_lightning.commands.rim.face_questions import answers_to, question_of

    settings = record.settings
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        probes = _faces(folder, record, recognizer, "probe")
        if gallery is not None:
            rates = settings.far, settings.fpir
            questions = [question_of(recognizer, gallery, face, *rates) for face in probes]
            found = answers_to(gallery, questions, settings.top or 1)
            return [CaseAnswer([face], [], answer) for face, answer in zip(probes, found, strict=True)]
        sharp = _faces(folder, record, recognizer, "gallery")
        people = [[face] for face in probes] if settings.every_face else [probes]
        return [
            CaseAnswer(person, sharp, plain_verification(recognizer.verify(person, sharp, settings.far)))
            for person in people
        ]
    finally:
        torch.set_num_threads(threads)


def _faces(folder: Path, record: CaseRecord, recognizer: Recognizer, side: Any) -> list[AlignedFace]:
    """Align the faces of the pictures of one side. Pictures that were left out are left out again."""
    from rim_lightning.case.record_folder import PICTURES
    from rim_lightning.inference.faces import judged_as

    settings = record.settings
    face, gallery_face = (_face_or_box(chosen) for chosen in (settings.face, settings.gallery_face))
    choice = FaceChoice(settings.aligned or False, face, gallery_face, settings.every_face)
    used = {entry.picture for entry in record.faces}
    pictures = [each for place, each in enumerate(record.pictures) if place in used and each.side == side]
    aligned = [
        one
        for picture in pictures
        for one in choice.align_named(recognizer, folder / PICTURES / picture.file, side, picture.name)
    ]
    if not aligned:
        raise ValueError(f"{folder} has no {side} picture in which a face was found.")
    return judged_as(aligned, settings.size if side == "probe" else None)


def _face_or_box(chosen: int | list[float] | None) -> int | Box | None:
    if not isinstance(chosen, list):
        return chosen
    x0, y0, x1, y1 = chosen
    return x0, y0, x1, y1
