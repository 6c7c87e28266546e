"""`rim enroll`: fill a gallery with the pictures of a folder or table, and make it what the folder is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.picture_notes import SHOWN, note_lines
from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options
from rim_lightning.commands.rim.folder_report import (
    FolderReport,
    describe,
    plain_differences,
    report_differences,
)
from rim_lightning.commands.rim.model_choice import ModelChoice, open_gallery, optional_model_options
from rim_lightning.commands.rim.options import EXIT_CODES, Place, index_option, json_option
from rim_lightning.commands.rim.output import echo_json, exit_if_left_out, progress_bar, say
from rim_lightning.extras import require_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_lightning.gallery.embedded_folder import EmbeddedFolder
    from rim_lightning.gallery.enrollment import EmbeddedEnrollment, Enrollment, FolderChanges
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.gallery.mixed_people import MixedPerson
    from rim_lightning.inference.recognizer import Recognizer


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@optional_model_options
@index_option
@click.argument("folder", type=Place())
@face_options("gallery", every=False)
@click.option(
    "--sync", is_flag=True, help="Make the gallery what FOLDER is: also replace, rename and remove templates."
)
@click.option(
    "--pool",
    is_flag=True,
    help="Pool the pictures of each person into one template. Chosen for the whole gallery when it is made.",
)
@click.option("--dry-run", is_flag=True, help="Only say what differs from the gallery. Nothing is written.")
@json_option
def enroll(
    model: ModelChoice,
    index: str,
    folder: Path,
    choice: FaceChoice,
    sync: bool,
    pool: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add the pictures of FOLDER to the gallery.

    Every folder in it is a person, and so is every picture directly in it. Pictures already enrolled are skipped;
    repeat the command to resume. Enrolling a folder again also adds people who were forgotten.

    Pictures that were replaced, renamed, given to another person or removed since they were enrolled are named, and
    the command ends with exit code 3. With --sync their templates are put right; templates of other folders stay.

    With --pool the gallery is made one that pools: in every search a person is one template, the mean of all their
    pictures, with the thresholds of their number. People whose pictures look like two people are named. Later calls
    need no --pool.

    FOLDER may also be a table with the columns picture and person, whose name ends in .csv: each row names a picture,
    by its path in the folder of the table, and who is on it.

    FOLDER may also be what rim-embed wrote. Then only the numbers of pictures that were left out, or show several or
    small faces, are printed; the files of that folder have their names.

    \b
    Examples:
      rim enroll --model my_model --index known passports
      rim enroll --model my_model --index known passports --sync
      rim enroll --model my_model --index known passports --pool
      rim enroll --model my_model --index known people.csv --pool
      rim enroll --index known passports --dry-run
      rim enroll --index known embedded
    """
    require_extra("gallery", "A gallery")
    from rim_lightning.gallery.aligned_check import check_aligned
    from rim_lightning.gallery.embedded_folder import is_embedded
    from rim_lightning.gallery.folder_pictures import picture_set

    if dry_run:
        _compare(index, folder, choice, model.detector, pool, as_json)
    elif is_embedded(folder):
        embedded = _open_embedded(folder, choice)  # refuses a wrong choice before the model is loaded
        _enroll_embedded(model.load() if model.path else None, index, embedded, sync, pool, as_json)
    else:
        model.chosen_path()  # before the pictures are listed
        pictures = picture_set(folder).listing.pictures  # refuses a folder without any before the model is loaded
        recognizer = model.load()
        recognizer.aligner = replace(recognizer.aligner, face=choice.gallery_face)
        if choice.aligned:
            check_aligned(pictures, recognizer.aligner)  # before a gallery is made
        _enroll_pictures(recognizer, index, folder, bool(choice.aligned), sync, pool, as_json)


def _compare(index: str, folder: Path, choice: FaceChoice, detector: str, pool: bool, as_json: bool) -> None:
    """Say what differs between the gallery and a folder or table of pictures, or what rim-embed made of a folder."""
    from rim_lightning.gallery.embedded_folder import is_embedded
    from rim_lightning.gallery.enrollment import check_embedded, compare_embedded, compare_folder

    gallery = _open_if_there(index, pool)
    if is_embedded(folder):
        embedded = _open_embedded(folder, choice)
        check_embedded(embedded, gallery.fingerprint if gallery else embedded.manifest.model)
        compared = compare_embedded(gallery, embedded)
    else:
        bar = partial(progress_bar, title="reading")
        compared = compare_folder(
            gallery, folder, bool(choice.aligned), bar, face=choice.gallery_face, detector=detector
        )
    changes = compared.changes
    report = FolderReport.of(compared, gallery)
    if as_json:
        plain = {"new": [picture.source for picture in changes.new], "known": len(changes.unchanged)}
        echo_json(plain | {"differences": plain_differences(changes.differences)} | report._asdict())
    else:
        say(f"{len(changes.new)} pictures are new, {len(changes.unchanged)} are known")
        for difference in changes.differences:
            say(describe(difference))
        report.print()
    differing = len(changes.differences)
    exit_if_left_out(len(report.left_out) + differing, len(changes.new) + len(changes.unchanged) + differing)


def _open_embedded(folder: Path, choice: FaceChoice) -> EmbeddedFolder:
    """Open what rim-embed wrote. Raises ValueError if its faces are not those of the options."""
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder

    embedded = EmbeddedFolder(folder)
    if choice.gallery_face is not None:
        raise ValueError(f"{folder} holds embeddings of the largest faces: leave --face and --box out.")
    if choice.aligned and not embedded.manifest.aligned:
        raise ValueError(f"{folder} holds embeddings of faces that were searched for: leave --aligned out.")
    return embedded


def _open_if_there(index: str, pool: bool) -> Gallery | None:
    """Open a gallery of any model, or return None if there is none."""
    from rim_lightning.gallery.index import Gallery

    try:
        return Gallery(index, None, pooled=pool)
    except FileNotFoundError:
        return None


def _enroll_pictures(
    recognizer: Recognizer, index: str, folder: Path, aligned: bool, sync: bool, pool: bool, as_json: bool
) -> None:
    """Enroll a folder or table of pictures."""
    from rim_lightning.gallery.enrollment import compare_folder, enroll
    from rim_lightning.inference.faces import SHARP

    gallery = open_gallery(index, recognizer, create=True, pooled=pool)
    face, detector = recognizer.aligner.face, recognizer.aligner.detector
    bar = partial(progress_bar, title="enrolling")
    with gallery.writing():
        compared = compare_folder(
            gallery, folder, aligned, partial(progress_bar, title="reading"), face=face, detector=detector
        )
        result = enroll(recognizer, gallery, folder, aligned, bar, sync=sync, compared=compared)
    remarks = _remarks_on_faces(result, SHARP * recognizer.rim.hr_size)
    report = FolderReport.of(compared, gallery, result.left_out, sync)
    _finish(gallery, folder, result, report, remarks, _mixed(gallery, compared, recognizer), sync, as_json)


def _enroll_embedded(
    recognizer: Recognizer | None, index: str, embedded: EmbeddedFolder, sync: bool, pool: bool, as_json: bool
) -> None:
    """Enroll what rim-embed wrote. If a model is given, the embeddings must be of that model."""
    from rim_lightning.gallery.enrollment import check_embedded, compare_embedded, enroll_embedded
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import SHARP

    maker = embedded.manifest.model
    check_embedded(embedded, recognizer.fingerprint if recognizer else maker)  # before a gallery is made
    gallery = Gallery(index, maker, embedded.manifest.embedding_size, create=True, pooled=pool)
    bar = partial(progress_bar, title="enrolling", unit="file")
    with gallery.writing():
        compared = compare_embedded(gallery, embedded)
        result = enroll_embedded(gallery, embedded, bar, sync=sync, compared=compared)
    numbers = {
        "with several faces, of which the largest was taken": result.several,
        f"with a face of less than {SHARP * embedded.manifest.hr_size:.0f} px, which is not sharp": result.small,
        "that were turned, because their face lies on its side": result.turned,
        "that rim-embed has left out": result.left_out,
    }
    remarks = [f"pictures {pictures}: {number}" for pictures, number in numbers.items() if number]
    report = FolderReport.of(compared, gallery, None, sync)
    _finish(gallery, embedded.path, result, report, remarks, _mixed(gallery, compared, recognizer), sync, as_json)


def _mixed(gallery: Gallery, compared: FolderChanges, recognizer: Recognizer | None) -> list[MixedPerson]:
    """Return the people of a folder whose pooled pictures look like two people, if the model has thresholds."""
    from rim_lightning.gallery.mixed_people import mixed_people
    from rim_lightning.gallery.names import unicode_name

    if recognizer is None or not gallery.is_pooled:
        return []
    people = {unicode_name(picture.person) for picture in compared.changes.pictures()}
    return mixed_people(gallery, people, recognizer.calibration)


def _finish(
    gallery: Gallery,
    folder: Path,
    result: Enrollment | EmbeddedEnrollment,
    report: FolderReport,
    remarks: Sequence[str],
    mixed: Sequence[MixedPerson],
    sync: bool,
    as_json: bool,
) -> None:
    """Print what became of a folder, and end the command."""
    people = len(gallery.people())
    added, known = result.added, result.already_enrolled
    left_out = report.left_out if isinstance(result.left_out, dict) else result.left_out
    if as_json:
        plain = _counts(result, sync) | {"templates": len(gallery), "people": people, "pooled": gallery.is_pooled}
        disagreements = [{"person": person} | split.plain(sources) for person, sources, split in mixed]
        echo_json(plain | report._asdict() | {"left_out": left_out, "disagreements": disagreements})
    else:
        for remark in remarks:
            say(remark, err=True)
        pooled = ", each by all their pictures" if gallery.is_pooled else ""
        say(f"{added} pictures added, {known} were known; {people} people in {gallery.address}{pooled}")
        for person, sources, split in mixed[:SHOWN]:
            say(f"{person}: {split.in_words(sources)}", err=True)
        if len(mixed) > SHOWN:
            say(f"so do those of {len(mixed) - SHOWN} more people; --json names them all", err=True)
        report_differences(result.differences, folder, sync)
        report.print()
    wrong = 0 if sync else len(result.differences)
    number = left_out if isinstance(left_out, int) else len(left_out)
    exit_if_left_out(number + wrong, added + known + wrong)


def _remarks_on_faces(result: Enrollment, sharp_size: float) -> list[str]:
    """Return lines on pictures with several faces, turned ones, and faces smaller than `sharp_size` pixels."""
    from rim_lightning.data.face_notes import face_notes

    pictures_of: dict[str, list[str]] = {}
    several = set(result.several)
    for picture in dict.fromkeys([*result.several, *result.turned]):
        for note in face_notes(2 if picture in several else 1, result.turned.get(picture), "the largest"):
            pictures_of.setdefault(note, []).append(picture)
    if result.small:
        pictures_of[f"shows a face of less than {sharp_size:.0f} px, which is not sharp"] = result.small
    return note_lines(pictures_of, "--json names them all")


def _counts(result: Enrollment | EmbeddedEnrollment, sync: bool) -> dict[str, Any]:
    """Return the fields by the keys of the JSON object."""
    plain = {"known" if name == "already_enrolled" else name: value for name, value in result._asdict().items()}
    if "faces" in plain:
        plain["pictures"] = [{"picture": face.name} | face.plain() for face in plain.pop("faces")]
    return plain | {"differences": plain_differences(result.differences), "synced": sync}
