"""`rim identify`, `rim forget` and `rim gallery list`: search a gallery, remove people and pictures, list them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.rim.answer_table import HIT_COLUMNS, Output, hit_rows, output_options, write_answers
from rim_lightning.commands.rim.face_choice import FaceChoice, FaceCommand, face_options, pictures_of
from rim_lightning.commands.rim.face_questions import answers_to, check_search, in_blocks, question_of
from rim_lightning.commands.rim.folder_report import on_date
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options, open_gallery
from rim_lightning.commands.rim.options import (
    EXIT_CODES,
    NO,
    Decision,
    Place,
    decision_options,
    index_option,
    json_option,
)
from rim_lightning.commands.rim.output import (
    echo_json,
    exit_if_left_out,
    progress_bar,
    report_cautions,
    report_enlarged,
    report_left_out,
    report_notes,
    say,
)
from rim_lightning.commands.rim.recording import (
    CaseQuestion,
    RecordChoice,
    SearchedGallery,
    check_hits,
    record_options,
    report_recorded,
)
from rim_lightning.commands.rim.template_search import TemplateChoice, identify_templates, template_options
from rim_lightning.inference.verdict import CalibrationSet, expected_count, in_words, shown_apart

UNKNOWN_DATE = "unknown   "  # as long as a day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rim_lightning.case.record_content import CaseAnswer
    from rim_lightning.case.record_folder import RecordWriter
    from rim_lightning.gallery.index import Enrolled, Gallery
    from rim_lightning.inference.recognizer import Recognizer


@click.command(cls=FaceCommand, epilog=EXIT_CODES)
@model_options
@index_option
@click.argument("probes", type=Place(), nargs=-1, required=True)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="People for each probe.")
@click.option(
    "--fpir",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Choose the threshold for this gallery, in place of --far: the share of strangers for whom a search gives a "
    "false hit, such as 0.03.",
)
@template_options
@face_options("probe")
@decision_options
@record_options
@output_options
def identify(
    model: ModelChoice,
    index: str,
    probes: tuple[Path, ...],
    top: int,
    fpir: float | None,
    choice: FaceChoice,
    decision: Decision,
    pooling: TemplateChoice,
    record: RecordChoice,
    output: Output,
) -> None:
    """Search the gallery for the people on PROBES.

    Each of PROBES is a picture or a folder. A clip, and the tracks.csv that rim tracks made of it, get one answer for
    each track, by all its pictures; so does any table with the columns picture and track. With --pool each folder is
    one person, and gets one answer. Exit code 0: somebody was accepted, 1: nobody.

    At a FAR of 1e-3 a stranger is accepted for about one in a thousand pictures of the gallery. --fpir counts searches
    instead of pictures.

    \b
    Examples:
      rim identify --model my_model --index known cctv.png
      rim identify --model my_model --index known cctv/*.png --top 1
      rim identify --model my_model --index known cctv_folder --top 10 --far 1e-4 --json
      rim identify --model my_model --index known cctv.png --fpir 0.03
      rim identify --model my_model --index known frame.jpg --faces all
      rim identify --model my_model --index known cctv_folder --csv hits.csv
      rim identify --model my_model --index known clip.mp4 --fps 5
      rim identify --model my_model --index known tracks/tracks.csv
      rim identify --index known cctv.png --record case_7 --reviewer "Ana Lang" --report case_7.pdf
    """
    output.check(probes)
    check_hits(record, top)
    if pooling.asked(probes, choice):
        _check_templates(fpir, record)
        identify_templates(model, index, probes, top, choice, decision, pooling, output)
    recognizer = decision.load(model)
    gallery = open_gallery(index, recognizer)
    check_search(recognizer, gallery, fpir)
    left_out: dict[str, str] = {}
    cases: list[CaseAnswer] = []
    paths = [picture for place in probes for picture in pictures_of(place, left_out)]
    if record.home is not None:
        paths = list(dict.fromkeys(paths))  # a record has each picture once, and a replay answers it once
    with record.opened(len(paths)) as writer:
        asked = CaseQuestion(model, decision, choice, index, top, fpir)
        searched = None if writer is None else SearchedGallery(gallery)
        for block in in_blocks(progress_bar(paths, "identifying"), len(gallery)):
            for case in _answered(recognizer, gallery, block, asked, writer, left_out):
                cases.append(case)
                if not output.as_json:
                    _print_found(case, choice.every)
        recorded = record.finish(writer, recognizer, asked, cases, left_out, searched)
    answers = [case.plain for case in cases]
    rate = {"far": decision.far} if fpir is None else {"fpir": fpir}
    end_search(recognizer.required_calibration().chosen_on, gallery, rate, answers, left_out, output, recorded)


def _answered(
    recognizer: Recognizer,
    gallery: Gallery,
    paths: list[Path],
    asked: CaseQuestion,
    writer: RecordWriter | None,
    left_out: dict[str, str],
) -> Iterator[CaseAnswer]:
    """Search for the faces of some pictures at once. Those that cannot be used are put into `left_out`."""
    from rim_lightning.case.record_content import CaseAnswer
    from rim_lightning.files import printable
    from rim_lightning.inference.faces import judged_as

    far, size = asked.decision.far, asked.decision.size
    faces, pictures, questions = [], [], []
    for path in paths:
        try:
            found = judged_as(asked.choice.align(recognizer, path, writer=writer), size)
            questions += [question_of(recognizer, gallery, face, far, asked.fpir) for face in found]  # all or none
        except (OSError, ValueError) as error:
            name, reason = printable(str(path)), sentence_of(error)
            left_out[str(path)] = reason if name in reason else f"{name}: {reason}"  # a threshold knows no picture
            continue
        faces += found
        pictures += [str(path)] * len(found)
    answers = answers_to(gallery, questions, asked.top or 1)
    for face, picture, answer in zip(faces, pictures, answers, strict=True):
        yield CaseAnswer([face], [], {"picture": picture} | answer)


def _print_found(case: CaseAnswer, numbered: bool) -> None:
    """Print what was found for one face."""
    from rim_lightning.inference.search_calibration import search_cautions

    report_notes(case.probes)
    report_enlarged(case.probes)
    report_cautions(case.plain["picture"], search_cautions(case.plain))
    print_hits(case.plain, heading_of(case.plain, numbered))


def _check_templates(fpir: float | None, record: RecordChoice) -> None:
    """Refuse options that templates do not have."""
    if fpir is not None:
        raise click.UsageError("--fpir was measured for single pictures: leave it out for templates and clips.")
    if record.home is not None:
        raise click.UsageError("A record is of single pictures: leave --record out for templates and clips.")


@click.command(epilog=EXIT_CODES)
@index_option
@click.argument("person", required=False)
@click.option("--picture", type=Place(), help="Remove the template of this picture alone, by its path.")
@click.option("--folder", type=Place(), help="Remove all templates of a folder or table that was enrolled.")
def forget(index: str, person: str | None, picture: Path | None, folder: Path | None) -> None:
    """Remove PERSON, one picture or a folder from the gallery, for good.

    All templates of the person are removed. Exit code 1: the gallery has no such person, picture or folder.

    \b
    Examples:
      rim forget --index known "Jane Doe"
      rim forget --index known --picture passports/jane/2.jpg
      rim forget --index known --folder old_passports
    """
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.gallery.stored_templates import templates_of_folder, templates_of_picture

    if sum(choice is not None for choice in (person, picture, folder)) != 1:
        raise click.UsageError("Give one of PERSON, --picture and --folder.")
    gallery = Gallery(index, None)
    with gallery.writing():
        if person is not None:
            removed, name = gallery.delete(person), person
        else:
            rows = gallery.enrolled()
            name = str(picture or folder)
            unwanted = templates_of_picture(rows, picture) if picture else templates_of_folder(rows, folder or Path())
            removed = gallery.remove(set(unwanted)) if unwanted else 0
    say(f"{removed} templates of {name} removed from {index}")
    if person is not None and not removed:
        _name_alike(person, gallery)
    sys.exit(0 if removed else NO)


@click.group(epilog=EXIT_CODES)
def gallery() -> None:
    """Look into a gallery.

    \b
    Example:
      rim gallery list --index known
    """


@gallery.command("list", epilog=EXIT_CODES)
@index_option
@click.argument("person", required=False)
@json_option
def list_templates(index: str, person: str | None, as_json: bool) -> None:
    """List the people of the gallery, their pictures and the dates of their enrollment; or those of PERSON.

    A picture that was replaced or removed since it was enrolled is marked.

    \b
    Examples:
      rim gallery list --index known
      rim gallery list --index known "Jane Doe" --json
    """
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.gallery.names import unicode_name
    from rim_lightning.gallery.stored_templates import UNCHANGED, picture_state, remark_of

    opened = Gallery(index, None)
    name_in_gallery = person and unicode_name(person)
    rows = sorted((row for row in opened.enrolled() if name_in_gallery in (None, row.person)), key=lambda row: row[:3])
    states = [picture_state(row.source, row.digest) for row in progress_bar(rows, "reading")]
    people: dict[str, list[tuple[Enrolled, str]]] = {}
    for row, state in zip(rows, states, strict=True):
        people.setdefault(row.person, []).append((row, state))
    if as_json:
        plain = [row._asdict() | {"state": state} for row, state in zip(rows, states, strict=True)]
        counts = {name: len(pictures) for name, pictures in people.items()}
        echo_json({"model": opened.fingerprint, "pooled": opened.is_pooled, "people": counts, "templates": plain})
    else:
        for name, pictures in people.items():
            say(f"{name}: {len(pictures)} {'picture' if len(pictures) == 1 else 'pictures'}")
            for row, state in pictures:
                date = (row.enrolled or UNKNOWN_DATE)[:10]
                say(f"  {date}  {row.alignment or 'unknown':<8}  {row.source}{remark_of(state)}")
        pooled = "; those of each person are one template" if opened.is_pooled else ""
        say(f"{len(rows)} pictures of {len(people)} people in {index}, by the model {opened.fingerprint}{pooled}")
        differing = len(rows) - states.count(UNCHANGED)
        if differing:
            say(f"{differing} of them are not what was enrolled: rim enroll --sync puts that right", err=True)
        if undated := sum(row.enrolled is None for row in rows):
            say(
                f"{undated} of them come from an earlier version: date and alignment are unknown until --sync", err=True
            )
    if person is not None and not rows:
        if not as_json:
            _name_alike(person, opened)
        sys.exit(NO)


def _name_alike(person: str, gallery: Gallery) -> None:
    """Say which people of the gallery have nearly the name of somebody whom it lacks."""
    from rim_lightning.gallery.names import alike_names

    alike = [other for names in alike_names([person, *gallery.people()]) if person in names for other in names]
    others = [repr(other) for other in alike if other != person]
    if others:
        say(f"the gallery has {', '.join(others)}: names are compared letter by letter", err=True)


def end_search(
    chosen_on: CalibrationSet,
    gallery: Gallery,
    rate: dict[str, float],
    answers: list[dict[str, Any]],
    left_out: dict[str, str],
    output: Output,
    recorded: dict[str, Any] | None = None,
) -> NoReturn:
    """Print what holds for all answers of a search, and end the command.

    Args:
        chosen_on: The people of the thresholds.
        gallery: The gallery.
        rate: "far" or "fpir" -> the rate that the thresholds were chosen for.
        answers: One for each probe or template, ready for a JSON object.
        left_out: Picture -> reason.
        output: Where the answers go.
        recorded: What `RecordChoice.finish` returned.
    """
    recorded = recorded or {}
    templates = gallery.compared()
    if output.table is not None:
        write_answers(output.table, HIT_COLUMNS, hit_rows(answers, left_out, rate))
    if output.as_json:
        plain = rate | {"chosen_on": chosen_on._asdict(), "templates": templates, "pooled": gallery.is_pooled}
        echo_json(plain | {"probes": answers, "left_out": left_out} | recorded)
    else:
        if answers:
            passed = (
                f"; a stranger passes for {expected_count(rate['far'] * templates)} of them on average"
                if "far" in rate
                else ""
            )
            say(f"of {templates} {'people, each by all their pictures' if gallery.is_pooled else 'pictures'}{passed}")
            say(f"thresholds chosen on {chosen_on.in_words()}")
        report_left_out(left_out)
        if output.table is not None:
            say(f"written to {output.table}")
        report_recorded(recorded)
    exit_if_left_out(len(left_out), len(answers))
    sys.exit(0 if any(hit["accepted"] for answer in answers for hit in answer["hits"]) else NO)


def heading_of(answer: dict[str, Any], numbered: bool) -> str:
    """Return the line above the people who are most similar to a probe; with the number of its face if asked for."""
    number = f", face {answer['found']['number']}" if numbered else ""
    rate = in_words(answer["far"]) if "far" in answer else answer["in_words"]
    judged = f"{answer['size']:.0f} px, threshold {answer['threshold']:.3f} ({rate})"
    return f"{answer['picture']}{number}: {judged}"


def print_hits(answer: dict[str, Any], heading: str) -> None:
    """Print the people who are most similar to a probe or template under a heading."""
    from rim_lightning.gallery.stored_templates import remark_of

    say(heading)
    for hit in answer["hits"]:
        mark = "accepted" if hit["accepted"] else ""
        picture = f"{hit['source']}, {on_date(hit['enrolled']).strip() or 'date unknown'}{remark_of(hit['state'])}"
        similarity, threshold = shown_apart(hit["similarity"], hit["threshold"])
        if hit["pooled"] > 1:
            picture = f"{hit['pooled']} pictures, threshold {threshold}; nearest: {picture}"
        elif len(threshold.partition(".")[2]) > 3:  # the heading shows fewer digits
            picture = f"threshold {threshold}; {picture}"
        say("  ".join(filter(None, (f"  {similarity:>6}", hit["person"], mark, f"({picture})"))))
