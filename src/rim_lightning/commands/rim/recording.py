"""`--record`, `--reviewer` and `--report` of `rim verify` and `rim identify`: an answer for a case file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.rim.face_choice import FaceChoice
from rim_lightning.commands.rim.model_choice import ModelChoice
from rim_lightning.commands.rim.options import Decision, Place
from rim_lightning.commands.rim.output import say
from rim_lightning.extras import require_extra

if TYPE_CHECKING:
    from rim_lightning.case.record_content import CaseAnswer, GalleryState
    from rim_lightning.case.record_folder import RecordWriter
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import Box
    from rim_lightning.inference.recognizer import Recognizer

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class RecordChoice:
    """What the options `--record`, `--reviewer` and `--report` say.

    Attributes:
        home: Folder of the records. None for no record.
        reviewers: Who looked.
        reports: Files that the report is written to.
    """

    home: Path | None
    reviewers: tuple[str, ...]
    reports: tuple[Path, ...]

    @contextmanager
    def opened(self, pictures: int = 0) -> Iterator[RecordWriter | None]:
        """Begin a record, which is removed if the block does not finish it. Without `--record` there is none.

        Args:
            pictures: Number of pictures that it will hold, if that is known.

        Raises:
            ValueError: If these are too many, or nothing can be written to the folder of the records or to a report.
        """
        if self.home is None:
            yield None
            return
        from rim_lightning.case.record_folder import RecordWriter, check_count

        check_count(pictures)
        for target in self.reports:
            check_report(target)
        writer = RecordWriter(self.home, datetime.now().astimezone())
        try:
            yield writer
        finally:
            writer.discard()

    def finish(
        self,
        writer: RecordWriter | None,
        recognizer: Recognizer,
        question: CaseQuestion,
        answers: Sequence[CaseAnswer],
        left_out: Mapping[str, str],
        searched: SearchedGallery | None = None,
    ) -> dict[str, Any]:
        """Write the record, and the reports of it.

        Args:
            writer: The record, with copies of all pictures. None if there is none.
            recognizer: What answered.
            question: What was asked for.
            answers: The answers.
            left_out: Picture -> reason.
            searched: The gallery of a search.

        Returns:
            "record" -> folder and digest of the record, for a JSON object. Empty without a record, or without answers.

        Raises:
            ValueError: If the gallery was changed while it was searched: nobody could repeat the answer.
        """
        if writer is None or not answers:
            return {}
        from rim_lightning.case.illustrations import add_illustrations
        from rim_lightning.case.record_content import answer_content, faces_of_answers, model_content, versions
        from rim_lightning.files import printable

        hits = _keep_hits(writer, answers)
        state = None if searched is None else searched.state()
        content = answer_content(recognizer, answers, writer.positions(), state, hits)
        add_illustrations(writer, recognizer, faces_of_answers(answers), content["faces"])
        calibration = question.decision.calibration
        content["thresholds"]["file"] = None if calibration is None else writer.keep_calibration(calibration)
        content |= {
            "format": 1,
            "command": "verify" if searched is None else "identify",
            "reviewers": [printable(name) for name in self.reviewers],
            "settings": question.settings(),
            "left_out": {printable(name): printable(reason) for name, reason in left_out.items()},
            "model": model_content(recognizer, question.model.chosen_path()),
            "versions": versions(),
        }
        folder, digest = writer.finish(content)
        self._write_reports(folder)
        return {"record": {"folder": str(folder), "sha256": digest}}

    def _write_reports(self, folder: Path) -> None:
        for target in self.reports:
            from rim_lightning.case.report import write_report

            try:
                write_report(folder, target)
            except OSError as error:
                reason = f"{error.strerror}; the record is finished and lies in {folder}"
                raise OSError(error.errno, reason, str(target)) from error


class SearchedGallery:
    """A gallery that is about to be searched for a record, and what it holds before.

    Args:
        gallery: The gallery.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._before = gallery_state(gallery)

    def state(self) -> GalleryState:
        """Return what a record says of the gallery.

        Raises:
            ValueError: If it was changed since.
        """
        if gallery_state(self._gallery) != self._before:
            raise ValueError(
                f"The gallery {self._gallery.address} was changed while it was searched: there is no record, repeat "
                "the command."
            )
        return self._before


@dataclass(frozen=True)
class CaseQuestion:
    """What a command was asked for: the attributes are its options."""

    model: ModelChoice
    decision: Decision
    choice: FaceChoice
    index: str | None = None
    top: int | None = None
    fpir: float | None = None

    def settings(self) -> dict[str, Any]:
        """Return the settings as they are in effect, for a record."""
        import torch

        return {
            "model": _shown(self.model.path),
            "device": self.model.device,
            "detector": self.model.detector,
            "far": self.decision.far,
            "size": self.decision.size,
            "demo": self.decision.demo,
            "calibration": _shown(self.decision.calibration),
            "aligned": self.choice.aligned or None,
            "face": _plain_choice(self.choice.face),
            "gallery_face": _plain_choice(self.choice.gallery_face),
            "every_face": self.choice.every,
            "index": _shown(self.index),
            "top": self.top,
            "fpir": self.fpir,
            "threads": torch.get_num_threads(),
        }


def record_options(command: Command) -> Command:
    """Add `--record`, `--reviewer` and `--report` to a command, which gets them as one `RecordChoice`."""

    @wraps(command)
    def with_record(*, record: Path | None, reviewer: tuple[str, ...], report: tuple[Path, ...], **values: Any) -> Any:
        if record is None and (reviewer or report):
            raise click.UsageError("--reviewer and --report belong to a record: add --record FOLDER.")
        try:
            check_reviewers(reviewer)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--reviewer") from None
        return command(record=RecordChoice(record, reviewer, report), **values)

    with_options: Any = with_record
    for option in (
        click.option(
            "--report",
            type=Place(),
            multiple=True,
            help="Write the report of the record to this file as well, .html or .pdf; may be given twice.",
        ),
        click.option("--reviewer", multiple=True, help="Name of a person who looked; may be given several times."),
        click.option(
            "--record",
            type=Place(),
            help="Add a record of the answer to this folder, for a case file: pictures, settings, versions, rates.",
        ),
    ):
        with_options = option(with_options)
    return with_options


def report_recorded(recorded: Mapping[str, Any]) -> None:
    """Print where the record of an answer is, and the digest to note down; nothing if there is none."""
    if recorded:
        folder, digest = recorded["record"]["folder"], recorded["record"]["sha256"]
        say(f"recorded in {folder} (SHA-256 of its record.json: {digest})")


def gallery_state(gallery: Gallery) -> GalleryState:
    """Return a digest of what a gallery knows of its pictures, whatever their order, and their number."""
    from rim_lightning.case.record_content import GalleryState
    from rim_lightning.files import without_surrogates

    digest = hashlib.sha256()
    enrolled = gallery.enrolled()
    rows = sorted(json.dumps(row) for row in enrolled)
    for row in rows:
        digest.update(f"{without_surrogates(row)}\n".encode())
    people = len({row.person for row in enrolled}) if gallery.is_pooled else None
    return GalleryState(digest.hexdigest(), len(rows), people)


def check_report(target: Path) -> None:
    """Check before any work that a report can be written. Its folder is made if it is missing.

    Raises:
        ValueError: If the ending is neither .html nor .pdf, the file exists, or nothing can be written there.
        MissingExtra: If a package is missing.
    """
    from rim_lightning.files import check_folder

    if target.suffix.lower() not in (".html", ".pdf"):
        raise ValueError(f"{target} ends in neither .html nor .pdf: give the file to write.")
    if os.path.lexists(target):
        raise ValueError(f"{target} exists already: choose another place.")
    if target.suffix.lower() == ".pdf":
        require_extra("report", "A report in PDF")
    check_folder(target.parent, "place for the report")


def check_hits(record: RecordChoice, top: int) -> None:
    """Raise UsageError if a record cannot hold so many people for each probe."""
    if record.home is not None:
        from rim_lightning.case.record_schema import MOST_HITS

        if top > MOST_HITS:
            raise click.UsageError(f"A record holds {MOST_HITS:,} people for each probe: give --top {MOST_HITS}.")


def check_reviewers(names: Sequence[str]) -> None:
    """Check before any work that a record can hold the names of those who looked.

    Raises:
        ValueError: If it cannot.
    """
    if not names:
        return
    from rim_lightning.case.record_schema import LONGEST_NAME, MOST_REVIEWERS
    from rim_lightning.files import printable

    if any(not name.strip() for name in names):
        raise ValueError("the name is empty.")
    if any(len(printable(name)) > LONGEST_NAME for name in names):
        raise ValueError("the name is too long.")
    if len(names) > MOST_REVIEWERS:
        raise ValueError(f"a record names at most {MOST_REVIEWERS} people.")


def _keep_hits(writer: RecordWriter, answers: Sequence[CaseAnswer]) -> dict[str, int]:
    """Copy the gallery pictures of the hits that are what had been enrolled; return their positions by path."""
    positions: dict[str, int] = {}
    for answer in answers:
        for hit in answer.plain.get("hits", ()):
            if hit["state"] != "unchanged" or hit["source"] in positions:
                continue
            try:
                writer.keep(Path(hit["source"]), "hit")
            except (OSError, ValueError):
                continue  # the report shows no picture
            if writer.pictures[-1]["sha256"] == hit["digest"]:  # it may have been replaced since the search
                positions[hit["source"]] = len(writer.pictures) - 1
    return positions


def _plain_choice(face: int | Box | None) -> int | list[float] | None:
    return list(face) if isinstance(face, tuple) else face


def _shown(path: Path | str | None) -> str | None:
    from rim_lightning.files import printable

    return None if path is None else printable(str(path))
