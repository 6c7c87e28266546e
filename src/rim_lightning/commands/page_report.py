"""The report of an answer of the page: it is made in the private folder, and nothing of it stays there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rim_lightning.case.record_content import CaseAnswer, plain_verification
from rim_lightning.case.record_folder import RecordWriter
from rim_lightning.commands.rim.face_choice import FaceChoice
from rim_lightning.commands.rim.face_questions import answers_to, question_of
from rim_lightning.commands.rim.model_choice import ModelChoice
from rim_lightning.commands.rim.options import Decision
from rim_lightning.commands.rim.recording import CaseQuestion, RecordChoice, SearchedGallery, check_reviewers
from rim_lightning.extras import EXTRAS

if TYPE_CHECKING:
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace, Side
    from rim_lightning.inference.recognizer import Recognizer


class PageQuestion(NamedTuple):
    """A question that the page has answered.

    Attributes:
        probe: Path of the probe.
        sharp: Path of the gallery picture. None for a search.
        far: False accept rate.
        face: Number of the face in the probe; None for the largest.
        sharp_face: Number of the face in the gallery picture, likewise.
        top: Number of people shown by a search.
    """

    probe: str
    sharp: str | None
    far: float
    face: int | None = None
    sharp_face: int | None = None
    top: int | None = None


@dataclass(frozen=True)
class ReportMaker:
    """Answers a question once more, and makes reports of it.

    Attributes:
        recognizer: The model.
        gallery: The gallery, or None.
        model: How the model was chosen.
        calibration: File of the thresholds, or None.
        index: Address of the gallery, or None.
        folder: Private folder of the page.
    """

    recognizer: Recognizer
    gallery: Gallery | None
    model: ModelChoice
    calibration: Path | None
    index: str | None
    folder: Path

    def files(self, asked: PageQuestion, reviewers: str = "") -> dict[str, bytes]:
        """Answer a question, and return the reports.

        Args:
            asked: The question.
            reviewers: Names of those who looked, separated by commas.

        Returns:
            Name -> content: the report in HTML, and in PDF if the extra `report` is installed.

        Raises:
            ValueError: If the question cannot be answered, or the names are too long.
            OSError: If a picture is no longer there, or nothing can be written.
        """
        names = tuple(name.strip() for name in reviewers.split(",") if name.strip())
        check_reviewers(names)
        decision = Decision(asked.far, None, self.recognizer.demo, self.calibration)
        choice = FaceChoice(False, asked.face, asked.sharp_face)
        gallery = self.gallery if asked.sharp is None else None
        question = CaseQuestion(self.model, decision, choice, self.index if gallery else None, asked.top)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="report_") as name:
            home = Path(name)
            targets = tuple(home / f"report.{ending}" for ending in _endings())
            writer = RecordWriter(home, datetime.now().astimezone())
            searched = None if gallery is None else SearchedGallery(gallery)
            case = self._answer(asked, choice, writer)
            RecordChoice(home, names, targets).finish(writer, self.recognizer, question, [case], {}, searched)
            return {target.name: target.read_bytes() for target in targets}

    def _answer(self, asked: PageQuestion, choice: FaceChoice, writer: RecordWriter) -> CaseAnswer:
        """Answer from the copies of the record, as `rim verify` and `rim identify` do."""

        def face_of(path: str, side: Side) -> AlignedFace:
            name = f"given to the page{Path(path).suffix}"
            (face,) = choice.align_named(self.recognizer, writer.keep(Path(path), side, name), side, name)
            return face

        face = face_of(asked.probe, "probe")
        if asked.sharp is not None:
            sharp = face_of(asked.sharp, "gallery")
            answer = self.recognizer.verify([face], [sharp], asked.far)
            return CaseAnswer([face], [sharp], plain_verification(answer))
        if self.gallery is None:
            raise ValueError("There is no gallery.")
        question = question_of(self.recognizer, self.gallery, face, asked.far)
        (found,) = answers_to(self.gallery, [question], asked.top or 1)
        return CaseAnswer([face], [], found)


def _endings() -> tuple[str, ...]:
    return ("html", "pdf") if all(find_spec(module) for module in EXTRAS["report"]) else ("html",)
