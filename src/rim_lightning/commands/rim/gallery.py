"""rim_lightning.commands.rim.gallery."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rim_lightning.commands.errors import _sentence
from rim_lightning.commands.rim.options import (
    DEFAULT_FAR,
    EXIT_CODES,
    NO,
    SOME,
    WRONG,
    Place,
    _end,
    _gallery,
    _model_options,
    _pictures,
    _progress,
    _recognizer,
    _tell_of_many,
    aligned_option,
    device_option,
    index_option,
    json_option,
)


@click.command(epilog=EXIT_CODES)
@click.option("--model", "-m", type=Place(), help="Model folder or checkpoint; what rim-embed wrote needs none.")
@device_option
@index_option
@click.argument("folder", type=Place())
@aligned_option
@json_option
def enroll(model: Path | None, device: str, index: str, folder: Path, aligned: bool, as_json: bool) -> None:
    """Add the pictures of FOLDER to the gallery: a person a folder in it, or a person a picture.

    Pictures that are there already are passed over, so that the same command goes on where it was stopped. So a person
    who was forgotten comes back with a folder that they are in. FOLDER may be what rim-embed wrote, too, which says how
    many pictures were left out, show several faces or small ones; the names are in its files.

    \b
    Examples:
      rim enroll --model my_model --index known passports
      rim enroll --index known embedded
    """
    from rim_lightning.data.images import image_files
    from rim_lightning.gallery.embedded_folder import is_embedded
    from rim_lightning.gallery.enrollment import enroll
    from rim_lightning.inference.faces import SHARP

    if is_embedded(folder):
        _enroll_embedded(_recognizer(model, device).fingerprint if model else None, index, folder, as_json)
        return
    if model is None:
        raise click.UsageError("Missing option '--model' / '-m'.")
    recognizer = _recognizer(model, device)
    image_files(folder)  # a folder without pictures is refused before a gallery is made
    gallery = _gallery(index, recognizer, create=True)
    done = enroll(recognizer, gallery, folder, aligned, lambda files: _progress(files, "enrolling"))
    if as_json:
        counts = {"templates": len(gallery), "people": len(gallery.people())}
        click.echo(json.dumps(done._asdict() | counts))
    else:
        for picture in done.several:
            click.echo(f"{picture} shows several faces: the largest was taken", err=True)
        for picture in done.small:
            size = SHARP * recognizer.rim.hr_size
            click.echo(f"{picture}: a face of less than {size:.0f} px is no sharp one", err=True)
        click.echo(f"{done.added} pictures added, {done.known} were known; {len(gallery.people())} people in {index}")
    _end(done.left_out, done.added + done.known, as_json)


@click.command(epilog=EXIT_CODES)
@_model_options
@index_option
@click.argument("probes", type=Place(), nargs=-1, required=True)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="People for each probe.")
@click.option("--far", default=DEFAULT_FAR, show_default=True, help="False accept rate of one comparison.")
@aligned_option
@json_option
def identify(
    model: Path, device: str, index: str, probes: tuple[Path, ...], top: int, far: float, aligned: bool, as_json: bool
) -> None:
    """Who in the gallery is on PROBES, pictures or folders? Exit code 0: somebody was accepted, 1: nobody.

    A threshold for a FAR of 1e-3 lets a stranger pass for about one in a thousand pictures of the gallery.

    \b
    Examples:
      rim identify --model my_model --index known cctv.png
      rim identify --model my_model --index known cctv/*.png --top 1
      rim identify --model my_model --index known cctv_folder --top 10 --far 1e-4 --json
    """
    recognizer = _recognizer(model, device)
    gallery = _gallery(index, recognizer)
    if recognizer.calibration is None:
        raise ValueError("The model has no thresholds: rim export --people <a prepared set> chooses them.")
    templates = len(gallery)
    found, left_out = [], {}
    paths = [picture for place in probes for picture in _pictures(place)]
    for path in _progress(paths, "identifying"):
        try:
            (face,) = recognizer.align(path, aligned)
        except (OSError, ValueError) as error:
            left_out[str(path)] = _sentence(error)
            continue
        point = recognizer.calibration.at(face.size, far)
        (hits,) = gallery.search(recognizer.embed_probes([face]), top)
        answers = [hit._asdict() | {"accepted": hit.similarity >= point.threshold} for hit in hits]
        found.append(
            {
                "picture": str(path),
                "size": face.size,
                "faces": face.faces,
                "threshold": point.threshold,
                "hits": answers,
            }
        )
        if not as_json:
            _tell_of_many([face])
            click.echo(f"{path}: {face.size:.0f} px, threshold {point.threshold:.3f}")
            for answer in answers:
                mark = "accepted" if answer["accepted"] else ""
                click.echo(f"  {answer['similarity']:6.3f}  {answer['person']}  {mark}".rstrip())
    accepted = any(hit["accepted"] for each in found for hit in each["hits"])
    if as_json:
        click.echo(json.dumps({"far": far, "templates": templates, "probes": found, "left_out": left_out}))
    elif found:
        click.echo(f"of {templates} pictures; a stranger passes for {far * templates:.2g} of them on average")
    _end(left_out, len(found), as_json)
    sys.exit(0 if accepted else NO)


@click.command(epilog=EXIT_CODES)
@index_option
@click.argument("person")
def forget(index: str, person: str) -> None:
    """Remove PERSON and all their templates from the gallery, for good. Exit code 1: nobody of that name is there.

    \b
    Example:
      rim forget --index known "Jane Doe"
    """
    from rim_lightning.gallery.index import Gallery

    removed = Gallery(index, None).delete(person)
    click.echo(f"{removed} templates of {person} removed from {index}")
    sys.exit(0 if removed else NO)


def _enroll_embedded(fingerprint: str | None, index: str, folder: Path, as_json: bool) -> None:
    """`enroll` for what rim-embed wrote; of the model of that fingerprint, if one is given."""
    from rim_lightning.gallery.embedded_folder import EmbeddedFolder
    from rim_lightning.gallery.enrollment import check_embedded, enrol_embedded
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import SHARP

    embedded = EmbeddedFolder(folder)
    made_by = embedded.manifest.model
    check_embedded(embedded, fingerprint or made_by)  # before a gallery is made
    gallery = Gallery(index, made_by, embedded.manifest.embedding_size, create=True)
    done = enrol_embedded(gallery, embedded, lambda numbers: _progress(numbers, "enrolling", "file"))
    people = len(gallery.people())
    if as_json:
        click.echo(json.dumps(done._asdict() | {"templates": len(gallery), "people": people}))
    else:
        if done.several:
            click.echo(f"pictures with several faces, of which the largest was taken: {done.several}", err=True)
        if done.small:
            size = SHARP * embedded.manifest.hr_size
            click.echo(
                f"pictures with a face of less than {size:.0f} px, which is no sharp one: {done.small}", err=True
            )
        if done.left_out:
            click.echo(f"pictures that rim-embed has left out: {done.left_out}", err=True)
        click.echo(f"{done.added} pictures added, {done.known} were known; {people} people in {index}")
    if done.left_out:
        sys.exit(SOME if done.added + done.known else WRONG)
