"""A page in the browser, on this machine alone: compare two pictures, search the gallery, follow a clip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image

from rim_lightning.case.report_words import NO_IDENTITY, SEARCH_MEANING
from rim_lightning.commands.face_menu import FaceMenu
from rim_lightning.commands.page_cards import FaceCard, PageAnswer, Pictures
from rim_lightning.commands.page_clip import FollowedFace, followed_faces
from rim_lightning.commands.picture_notes import face_notes
from rim_lightning.commands.rim.face_questions import answers_to, question_of, search_template
from rim_lightning.data.images import read_content
from rim_lightning.files import printable
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.gallery.index import Gallery
from rim_lightning.gallery.stored_templates import UNCHANGED, remark_of
from rim_lightning.inference.calibration import PROBE_SIZES
from rim_lightning.inference.face_pictures import HALLUCINATED, face_pictures
from rim_lightning.inference.faces import SHARP, AlignedFace, usable_faces
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.search_calibration import pooled_quality_of, search_cautions
from rim_lightning.inference.verdict import DEFAULT_FAR, expected_count, in_words, shown_apart, unsharp, verdict
from rim_lightning.plotting import pyplot

if TYPE_CHECKING:
    from rim_lightning.commands.page_report import PageQuestion, ReportMaker

UPLOAD_SECONDS = 600  # time after which an upload is removed
PICTURE_SIDE = 256  # side of a picture of a face, in pixels
HITS_OF_A_TRACK = 3  # people shown for each face of a clip
TITLE = "Recognize faces of few pixels"
CAUTION = (
    "A similarity is evidence, not proof: strangers pass and people are refused at the rates shown, on the people that "
    "the thresholds were chosen on. A hallucinated face is a plausible one, not a photograph."
)


class FoundFaces(NamedTuple):
    """What was found in a picture.

    Attributes:
        sentence: How many faces there are, or why the picture cannot be used. Empty without a picture.
        menu: The faces to choose from. None if there are none.
    """

    sentence: str
    menu: FaceMenu | None


class Page:
    """Functions behind the tabs of the browser page, without Gradio.

    Args:
        recognizer: Model with thresholds.
        gallery: Gallery to search. None for a page without a search.
        reports: Makes reports. None for a page without reports.

    Attributes:
        recognizer: The model.
        gallery: The gallery, or None.
        reports: What makes reports, or None.
        fars: False accept rates that the user can choose from.
        far: The one that is chosen at first: that of every command. None if the model has no thresholds for it.

    Raises:
        ValueError: If the model has no thresholds, or if they were chosen on synthetic faces and `demo` is False.
    """

    def __init__(
        self, recognizer: Recognizer, gallery: Gallery | None = None, reports: ReportMaker | None = None
    ) -> None:
        self._calibration = recognizer.required_calibration()
        self._measured_on = f"Measured on {self._calibration.chosen_on.in_words()}."
        self.recognizer = recognizer
        self.gallery = gallery
        self.reports = reports
        self.fars = self._calibration.usable_fars()
        self.far = DEFAULT_FAR if DEFAULT_FAR in self.fars else None

    def faces(self, picture: str | None, name: str = "The picture") -> FoundFaces:
        """Return the faces of a picture.

        Args:
            picture: Path of the picture. None if the user gave none.
            name: Name of the picture in messages.

        Returns:
            A sentence, and the usable faces in the order of their numbers.
        """
        if picture is None:
            return FoundFaces("", None)
        try:
            usable = usable_faces(self.recognizer.aligner.find(picture, name), name)
        except (OSError, ValueError) as error:
            return FoundFaces(_sentence(error), None)
        if len(usable) == 1:
            return FoundFaces(f"One face was found, of {usable[0].size:.0f} px.", FaceMenu(picture, usable))
        sentence = f"{len(usable)} faces were found: click the one that is meant, or choose its number. "
        return FoundFaces(f"{sentence}Number 1 is taken otherwise.", FaceMenu(picture, usable))

    def verify(
        self,
        probe: str | None,
        gallery: str | None,
        far: float | None,
        probe_face: int | None = None,
        gallery_face: int | None = None,
    ) -> PageAnswer:
        """Compare two pictures.

        Args:
            probe: Path of the probe. None if the user gave none.
            gallery: Path of the gallery picture. None if the user gave none.
            far: False accept rate. None for the default of every command.
            probe_face: Number of the face in the probe; None for the largest.
            gallery_face: Number of the face in the gallery picture; None for the largest.

        Returns:
            The answer: one card.
        """
        if probe is None or gallery is None:
            return _refused("Give a probe and a gallery picture.")
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(probe, name="The probe", face=probe_face)
            (sharp,) = self.recognizer.align(gallery, name="The gallery picture", face=gallery_face)
            answer = self.recognizer.verify([face], [sharp], far)
        except (OSError, ValueError) as error:
            return _refused(_sentence(error))
        side, *rest = answer.in_words()
        warning = unsharp(answer.gallery_size, SHARP * self.recognizer.rim.hr_size)
        lines = [
            *([f"Caution: {warning}."] if warning else []),
            *(f"{_capital(line)}." for line in rest),
            *_remarks([face, sharp]),
            NO_IDENTITY,
        ]
        pictures, more = self._pictures_of(face)
        pictures = [*pictures, (_picture(sharp), f"gallery picture, {sharp.size:.0f} px")]
        score = answer.similarity, answer.threshold
        cautions = [f"Caution: {caution}." for caution in answer.cautions()]
        return PageAnswer(cautions, [FaceCard(_capital(side), lines, score, pictures, more)])

    def search(self, probe: str | None, far: float | None, top: int, face_number: int | None = None) -> PageAnswer:
        """Search the gallery.

        Args:
            probe: Path of the probe. None if the user gave none.
            far: False accept rate. None for the default of every command.
            top: Number of people to show.
            face_number: Number of the face in the probe; None for the largest.

        Returns:
            The answer: a card for each person.
        """
        if self.gallery is None:
            return _refused("There is no gallery.")
        if probe is None:
            return _refused("Give a probe.")
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(probe, name="The probe", face=face_number)
            question = question_of(self.recognizer, self.gallery, face, far)
            (answer,) = answers_to(self.gallery, [question], top)
        except (OSError, ValueError) as error:
            return _refused(_sentence(error))
        templates = self.gallery.compared()
        what = "people, each by all their pictures" if self.gallery.is_pooled else "pictures"
        passed = expected_count(far * templates)
        lines = [
            f"Threshold {question.threshold:.3f} ({in_words(far)}), judged at {face.size:.0f} px.",
            f"Of {templates} {what}, a stranger passes for {passed} on average. {SEARCH_MEANING}",
            self._measured_on,
            *(f"{_capital(note)}." for note in answer["notes"]),
        ]
        return PageAnswer(lines, self._hit_cards([face], answer, far))

    def clip(self, clip: str | None, far: float | None) -> PageAnswer:
        """Follow the faces of a clip, and search the gallery for each, if there is one.

        Args:
            clip: Path of the clip. None if the user gave none.
            far: False accept rate. None for the default of every command.

        Returns:
            The answer: a card for each track, and below it those of the people.
        """
        if clip is None:
            return _refused("Give a clip.")
        cards: list[FaceCard] = []
        try:
            far = self._checked(far)
            followed = followed_faces(clip, self.recognizer)
            for track in followed.tracks:
                cards += self._track_cards(track, far)
        except (OSError, ValueError) as error:
            return _refused(_sentence(error))
        searched = [SEARCH_MEANING, self._measured_on] if self.gallery is not None and cards else []
        return PageAnswer([*followed.lines, *searched], cards)

    def _track_cards(self, track: FollowedFace, far: float) -> list[FaceCard]:
        """Return the card of a track, and those of the people who are found by all its pictures."""
        pictures, more = self._pictures_of(track.faces[0])
        if self.gallery is None:
            return [FaceCard(track.heading, track.lines, None, pictures, more)]
        lines = list(track.lines)
        try:
            answer, split = search_template(self.recognizer, self.gallery, track.faces, HITS_OF_A_TRACK, far)
        except ValueError as error:  # there is no threshold for such a size; other tracks have one
            return [FaceCard(track.heading, [*lines, f"Not searched for: {error}"], None, pictures, more)]
        if len(track.faces) > 1:
            least, most = (f"{choose(face.size for face in track.faces):.0f}" for choose in (min, max))
            size = most if least == most else f"{least} to {most}"
            lines.append(f"Its {len(track.faces)} best pictures, of {size} px, are searched for as one template.")
        lines += [f"Caution: {sentence}." for sentence in search_cautions(answer)]
        if split:
            lines.append(f"Caution: {split.in_words([face.name for face in track.faces])}.")
        if quality := pooled_quality_of(answer):
            lines.append(f"{_capital(quality.in_words())}.")
        hits = self._hit_cards(track.faces, answer, far, f"{track.name}, ")
        return [FaceCard(track.heading, lines, None, pictures, more), *hits]

    def reduce(self, picture: str | None, size: int, far: float | None, face_number: int | None = None) -> PageAnswer:
        """Reduce a sharp picture and compare it with itself.

        Args:
            picture: Path of the picture. None if the user gave none.
            size: Side of the reduced face in pixels.
            far: False accept rate. None for the default of every command.
            face_number: Number of the face in the picture; None for the largest.

        Returns:
            The answer, with a figure of the similarity over all sizes.
        """
        if picture is None:
            return _refused("Give a picture.")
        try:
            far = self._checked(far)
            (face,) = self.recognizer.align(picture, name="The picture", face=face_number)
            if size > face.size:
                return _refused(f"The face has {face.size:.0f} px: choose a size below that.")
            self._calibration.operating_point(size, far)  # there may be no threshold for it
        except (OSError, ValueError) as error:
            return _refused(_sentence(error))
        threshold_of = self._threshold_of({size, *(side for side in PROBE_SIZES if side <= face.size)}, far)
        sizes, thresholds = list(threshold_of), list(threshold_of.values())
        probes = self._reduced(face, sizes)
        sharp = self.recognizer.embed_gallery([face])[0]
        similarities = (self.recognizer.embed_probes(probes) @ sharp).tolist()
        accepted = [value >= threshold for value, threshold in zip(similarities, thresholds, strict=True)]
        refused = [str(side) for side, same in zip(sizes, accepted, strict=True) if not same]
        index = sizes.index(size)
        lines = [
            "Similarity {}, threshold {}.".format(*shown_apart(similarities[index], thresholds[index])),
            f"Below the threshold at {', '.join(refused)} px." if refused else "Above the threshold at every size.",
            "This compares a picture with itself: another picture of the same person is less alike.",
            self._measured_on,
            *_remarks([face]),
        ]
        pictures, more = self._pictures_of(probes[index])
        pictures = [*pictures, (_picture(face), f"the picture itself, {face.size:.0f} px")]
        score = similarities[index], thresholds[index]
        card = FaceCard(f"At {size} px: {verdict(accepted[index], far)}", lines, score, pictures, more)
        return PageAnswer([], [card], _curve(sizes, similarities, thresholds, size))

    def report(self, asked: PageQuestion, reviewers: str = "") -> dict[str, bytes]:
        """Return the reports of an answer, see `ReportMaker.files`."""
        if self.reports is None:
            raise ValueError("This page makes no reports.")
        return self.reports.files(asked, reviewers)

    def question(self, *asked: Any) -> PageQuestion:
        """Return a question with the false accept rate that holds, for a report."""
        from rim_lightning.commands.page_report import PageQuestion

        question = PageQuestion(*asked)
        return question._replace(far=self._checked(question.far))

    def _threshold_of(self, sizes: Iterable[int], far: float) -> dict[int, float]:
        """Return the threshold of each size that has one, the smallest first."""
        threshold_of = {}
        for size in sorted(sizes):
            with suppress(ValueError):
                threshold_of[size] = self._calibration.operating_point(size, far).threshold
        return threshold_of

    def _checked(self, far: float | None) -> float:
        """Return the false accept rate if the model has thresholds for it; by default that of every command."""
        far = DEFAULT_FAR if far is None else far
        self._calibration.check_far(far)
        return far

    def _hit_cards(
        self, faces: Sequence[AlignedFace], answer: dict[str, Any], far: float, where: str = ""
    ) -> list[FaceCard]:
        """Return a card for each person whom a search found for one face, or for several as one template."""
        pictures, _ = self._pictures_of(faces[0])
        cards = []
        for rank, hit in enumerate(answer["hits"], start=1):  # without a likelihood ratio: a hit is the best of many
            nearest = f"The nearest of {hit['pooled']} pooled pictures" if hit["pooled"] > 1 else "Gallery picture"
            lines = [
                f"{_capital(verdict(hit['accepted'], far))}.",
                "Similarity {}, threshold {}.".format(*shown_apart(hit["similarity"], hit["threshold"])),
                f"{nearest}: {hit['source']}{remark_of(hit['state'])}",
            ]
            shown = self._enrolled_face(hit)
            cards.append(
                FaceCard(
                    f"{where}{rank}. {hit['person']}",
                    lines,
                    (hit["similarity"], hit["threshold"]),
                    [*pictures, *([] if shown is None else [(shown, "gallery picture")])],
                )
            )
        return cards

    def _enrolled_face(self, hit: dict[str, Any]) -> Image.Image | None:
        """Return the largest face of the picture of a hit; None if it is not what had been enrolled, or has none."""
        if hit["state"] != UNCHANGED:
            return None
        try:
            content = read_content(Path(hit["source"]))
            if hashlib.sha256(content).hexdigest() != hit["digest"]:
                return None
            (face,) = self.recognizer.align(content, name="The gallery picture")
        except (OSError, ValueError):
            return None
        return _picture(face)

    def _pictures_of(self, face: AlignedFace) -> tuple[Pictures, Pictures]:
        """Return the pixels of a probe and the hallucinated face, and what else the network makes of it."""
        own, bicubic, coarse, hallucinated, landmarks, parsing = face_pictures(
            self.recognizer.hallucinate([face]), 0, PICTURE_SIDE
        )
        return [own, (hallucinated[0], HALLUCINATED)], [bicubic, coarse, landmarks, parsing]

    def _reduced(self, face: AlignedFace, sizes: list[int]) -> list[AlignedFace]:
        """Reduce a face to each size, as in training."""
        probes = synthesize_probe(face.pixels.expand(len(sizes), -1, -1, -1), torch.tensor(sizes))  # (sizes, 3, S, S)
        return [AlignedFace(pixels, float(size), 0, face.name) for pixels, size in zip(probes, sizes, strict=True)]


def _curve(sizes: list[int], similarities: list[float], thresholds: list[float], size: int) -> Any:
    """Plot similarity and threshold over the size of the face, with a line at one size."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.plot(sizes, similarities, "o-", label="similarity to the sharp picture")
    axes.plot(sizes, thresholds, "--", color="gray", label="threshold")
    axes.axvline(size, color="lightgray", zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(side) for side in sizes])
    axes.minorticks_off()
    axes.set_xlabel("size of the face, px")
    axes.legend()
    plt.close(figure)
    return figure


def _picture(face: AlignedFace) -> Image.Image:
    return Image.fromarray(to_pixels(face.pixels)).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC)


def _remarks(faces: list[AlignedFace]) -> list[str]:
    return [f"{note}." for note in face_notes(faces)]


def _capital(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}"


def _refused(sentence: str) -> PageAnswer:
    return PageAnswer([sentence], refused=True)


def _sentence(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):  # somebody asks again after a while
        minutes = UPLOAD_SECONDS // 60
        return f"A picture is no longer there: uploads are removed after {minutes} minutes. Give it again."
    return printable(str(error))
