"""`rim enroll`, `rim identify` and `rim forget`: fill a gallery, search it, remove people from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.rim.options import (
    EXIT_CODES,
    NO,
    Place,
    aligned_option,
    demo_option,
    device_option,
    echo_json,
    exit_if_left_out,
    far_option,
    index_option,
    json_option,
    load_recognizer,
    model_options,
    open_gallery,
    pictures_of,
    progress_bar,
    report_left_out,
    report_several_faces,
)
from rim_lightning.inference.verdict import at_far

if TYPE_CHECKING:
    from rim_lightning.gallery.enrollment import EmbeddedEnrollment, Enrollment
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer


@click.command(epilog=EXIT_CODES)
@click.option("--model", "-m", type=Place(), help="Model folder or checkpoint; what rim-embed wrote needs none.")
@device_option
@index_option
@click.argument("folder", type=Place())
@aligned_option
@json_option
def enroll(model: Path | None, device: str, index: str, folder: Path, aligned: bool, as_json: bool) -> None:
    """Add the pictures of FOLDER to the gallery.

    Every folder in it is a person, and so is every picture directly in it. Pictures already enrolled are skipped;
    repeat the command to resume. Enrolling a folder again also adds people who were forgotten.

    FOLDER may also be what rim-embed wrote. Then only the numbers of pictures that were left out, or show several or
    small faces, are printed; the files of that folder have their names.

    \b
    Examples:
      rim enroll --model my_model --index known passports
      rim enroll --index known embedded
    """
    from rim_lightning.gallery.embedded_folder import is_embedded

    if is_embedded(folder):
        _enroll_embedded(load_recognizer(model, device).fingerprint if model else None, index, folder, as_json)
    elif model is None:
        raise click.UsageError("Missing option '--model' / '-m'.")
    else:
        _enroll_pictures(load_recognizer(model, device), index, folder, aligned, as_json)


@click.command(epilog=EXIT_CODES)
@model_options
@index_option
@click.argument("probes", type=Place(), nargs=-1, required=True)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="People for each probe.")
@far_option
@aligned_option
@demo_option
@json_option
def identify(
    model: Path,
    device: str,
    index: str,
    probes: tuple[Path, ...],
    top: int,
    far: float,
    aligned: bool,
    demo: bool,
    as_json: bool,
) -> None:
    """Search the gallery for the people on PROBES.

    Each of PROBES is a picture or a folder. Exit code 0: somebody was accepted, 1: nobody.

    At a FAR of 1e-3 a stranger is accepted for about one in a thousand pictures of the gallery.

    \b
    Examples:
      rim identify --model my_model --index known cctv.png
      rim identify --model my_model --index known cctv/*.png --top 1
      rim identify --model my_model --index known cctv_folder --top 10 --far 1e-4 --json
    """
    recognizer = load_recognizer(model, device, demo)
    calibration = recognizer.required_calibration()
    calibration.check_far(far)
    gallery = open_gallery(index, recognizer)
    templates = len(gallery)
    answers: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    paths = [picture for place in probes for picture in pictures_of(place)]
    for path in progress_bar(paths, "identifying"):
        try:
            (face,) = recognizer.align(path, aligned)
        except (OSError, ValueError) as error:
            left_out[str(path)] = sentence_of(error)
            continue
        answers.append({"picture": str(path)} | _identify(recognizer, gallery, face, top, far))
        if not as_json:
            report_several_faces([face])
            _print_hits(answers[-1])
    if as_json:
        chosen_on = calibration.chosen_on._asdict()
        echo_json({"far": far, "chosen_on": chosen_on, "templates": templates, "probes": answers, "left_out": left_out})
    else:
        if answers:
            click.echo(f"of {templates} pictures; a stranger passes for {far * templates:.2g} of them on average")
            click.echo(f"thresholds chosen on {calibration.chosen_on.in_words()}")
        report_left_out(left_out)
    exit_if_left_out(len(left_out), len(answers))
    accepted = any(hit["accepted"] for answer in answers for hit in answer["hits"])
    sys.exit(0 if accepted else NO)


@click.command(epilog=EXIT_CODES)
@index_option
@click.argument("person")
def forget(index: str, person: str) -> None:
    """Remove PERSON from the gallery, for good.

    All templates of the person are removed. Exit code 1: the gallery has no such person.

    \b
    Example:
      rim forget --index known "Jane Doe"
    """
    from rim_lightning.gallery.index import Gallery

    removed = Gallery(index, None).delete(person)
    click.echo(f"{removed} templates of {person} removed from {index}")
    sys.exit(0 if removed else NO)


def _enroll_pictures(recognizer: Recognizer, index: str, folder: Path, aligned: bool, as_json: bool) -> None:
    """Enroll a folder of pictures."""
    from rim_lightning.data.listing import image_files
    from rim_lightning.gallery.enrollment import enroll
    from rim_lightning.inference.faces import SHARP

    image_files(folder)  # refuses a folder without pictures before a gallery is made
    gallery = open_gallery(index, recognizer, create=True)
    result = enroll(recognizer, gallery, folder, aligned, lambda files: progress_bar(files, "enrolling"))
    people = len(gallery.people())
    if as_json:
        echo_json(_counts(result) | {"templates": len(gallery), "people": people})
    else:
        for picture in result.several:
            click.echo(f"{picture} shows several faces: the largest was taken", err=True)
        for picture in result.small:
            size = SHARP * recognizer.rim.hr_size
            click.echo(f"{picture}: a face of less than {size:.0f} px is not sharp", err=True)
        click.echo(f"{result.added} pictures added, {result.already_enrolled} were known; {people} people in {index}")
        report_left_out(result.left_out)
    exit_if_left_out(len(result.left_out), result.added + result.already_enrolled)


def _enroll_embedded(fingerprint: str | None, index: str, folder: Path, as_json: bool) -> None:
    """Enroll what rim-embed wrote. If a fingerprint is given, the embeddings must be of that model."""
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder
    from rim_lightning.gallery.enrollment import check_embedded, enroll_embedded
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import SHARP

    embedded = EmbeddedFolder(folder)
    maker = embedded.manifest.model
    check_embedded(embedded, fingerprint or maker)  # before a gallery is made
    gallery = Gallery(index, maker, embedded.manifest.embedding_size, create=True)
    result = enroll_embedded(gallery, embedded, lambda numbers: progress_bar(numbers, "enrolling", "file"))
    people = len(gallery.people())
    if as_json:
        echo_json(_counts(result) | {"templates": len(gallery), "people": people})
    else:
        size = SHARP * embedded.manifest.hr_size
        numbers = {
            "with several faces, of which the largest was taken": result.several,
            f"with a face of less than {size:.0f} px, which is not sharp": result.small,
            "that rim-embed has left out": result.left_out,
        }
        for pictures, number in numbers.items():
            if number:
                click.echo(f"pictures {pictures}: {number}", err=True)
        click.echo(f"{result.added} pictures added, {result.already_enrolled} were known; {people} people in {index}")
    exit_if_left_out(result.left_out, result.added + result.already_enrolled)


def _counts(result: Enrollment | EmbeddedEnrollment) -> dict[str, Any]:
    """Return the fields by the keys of the JSON object."""
    return {"known" if name == "already_enrolled" else name: value for name, value in result._asdict().items()}


def _identify(recognizer: Recognizer, gallery: Gallery, face: AlignedFace, top: int, far: float) -> dict[str, Any]:
    """Search the gallery for one face. The answer is ready for a JSON object."""
    point = recognizer.required_calibration().operating_point(face.size, far)
    (hits,) = gallery.search(recognizer.embed_probes([face]), top)
    return {
        "size": face.size,
        "faces": face.faces,
        "threshold": point.threshold,
        "far": far,
        "hits": [hit._asdict() | {"accepted": hit.similarity >= point.threshold} for hit in hits],
    }


def _print_hits(answer: dict[str, Any]) -> None:
    click.echo(
        f"{answer['picture']}: {answer['size']:.0f} px, threshold {answer['threshold']:.3f} {at_far(answer['far'])}"
    )
    for hit in answer["hits"]:
        mark = "accepted" if hit["accepted"] else ""
        click.echo(f"  {hit['similarity']:6.3f}  {hit['person']}  {mark}".rstrip())
