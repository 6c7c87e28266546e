"""What a report of a record says: one description, of which the pages in HTML and PDF are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from rim_lightning.case.face_views import face_view, picture_view
from rim_lightning.case.illustrations import png_bytes
from rim_lightning.case.record_folder import ILLUSTRATIONS, PICTURES, RECORD
from rim_lightning.case.report_words import (
    FAR_MEANING,
    LIMITS,
    NO_EVIDENCE,
    NO_IDENTITY,
    RATIO_MEANING,
    SEARCH_MEANING,
    SETTINGS,
)
from rim_lightning.data.images import read_image
from rim_lightning.files import content_digest, printable, read_bytes
from rim_lightning.inference.faces import SHARP
from rim_lightning.inference.recognizer import Verification
from rim_lightning.inference.search_calibration import SearchPoint, search_cautions
from rim_lightning.inference.verdict import (
    CalibrationSet,
    PooledQuality,
    ProbeQuality,
    Ratio,
    count_of,
    expected_count,
    in_words,
    shown_apart,
    unsharp,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rim_lightning.case.record_schema import (
        CaseFace,
        CaseGallery,
        CaseHit,
        CaseRecord,
        CaseSearch,
        CaseVerification,
    )

LARGEST_ILLUSTRATION = 16 * 2**20
LONGEST_TEXT = 300
"""Most characters of a name that are shown."""
MOST_LEFT_OUT = 200
"""Most pictures that were left out that are listed."""


class ReportText(NamedTuple):
    """A paragraph.

    Attributes:
        text: The text.
        kind: "plain"; "answer", the side of the threshold; "caution"; or "point", an item of a list.
    """

    text: str
    kind: str = "plain"


class ReportRows(NamedTuple):
    """A table. The first row is its head, or empty if there is none."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class ReportFigure(NamedTuple):
    """A picture with a caption.

    Attributes:
        png: Content of a PNG file.
        width: Its width in pixels.
        height: Its height in pixels.
        caption: What it shows.
    """

    png: bytes
    width: int
    height: int
    caption: str


class FigureRow(NamedTuple):
    """Pictures side by side."""

    figures: tuple[ReportFigure, ...]


class ReportSection(NamedTuple):
    """A part of a report under a heading."""

    heading: str
    blocks: tuple[ReportText | ReportRows | FigureRow, ...]


class CaseReport(NamedTuple):
    """A report: its title, a line below it, and its sections."""

    title: str
    subtitle: str
    sections: tuple[ReportSection, ...]


def report_of(folder: Path, record: CaseRecord) -> CaseReport:
    """Return the report of a record.

    Args:
        folder: Folder of the record, of which no file was altered (`check_unaltered`).
        record: Its content.

    Returns:
        The report. All its text can be shown on one line each: what is no letter is an escape.

    Raises:
        ValueError: If a picture cannot be decoded.
        OSError: If a picture cannot be read.
    """
    pictures = _Pictures(folder, record)
    sections: list[ReportSection] = []
    for number, answer in enumerate(record.verifications, start=1):
        title = f"Answer {number}: face {record.faces[answer.probe_faces[0]].number}"
        sections += _verification_sections(pictures, answer, title if len(record.verifications) > 1 else "The answer")
    for number, search in enumerate(record.searches, start=1):
        title = f"Search {number}" if len(record.searches) > 1 else "The answer"
        sections += _search_sections(pictures, search, title)
    sections += [
        ReportSection("What is not known", tuple(ReportText(limit, "point") for limit in LIMITS)),
        _people_section(record),
        *_origin_sections(folder, record),
    ]
    made = datetime.fromisoformat(record.made).isoformat(" ", "seconds")
    title = "Comparison of faces" if record.command == "verify" else "Search for a face"
    return CaseReport(title, f"Record of {made}", tuple(sections))


class _Pictures:
    """Decoded pictures of a record, of which the last one is remembered."""

    def __init__(self, folder: Path, record: CaseRecord) -> None:
        self.folder = folder
        self.record = record
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def image(self, place: int) -> NDArray[np.uint8]:
        if self._last is None or self._last[0] != place:
            picture = self.record.pictures[place]
            self._last = place, read_image(self.folder / PICTURES / picture.file, _shown(picture.name))
        return self._last[1]

    def figures(self, face: CaseFace) -> Iterator[ReportFigure]:
        """Yield where a face lies in its picture, its own pixels, and its points."""
        picture = self.record.pictures[face.picture]
        name = f"{_side(picture.side)} {_shown(picture.name)}"
        if face.box is not None:
            whole = picture_view(self.image(face.picture), face.box)
            which = f"face {face.number} of {face.faces}" if face.faces > 1 and face.number else "the face"
            yield _figure(whole, f"{name}, {picture.width} x {picture.height} pixels; the box marks {which}")
        view, factor = face_view(self.image(face.picture), face.box)
        how = {0: "reduced", 1: "in its own pixels"}.get(
            factor, f"in its own pixels, each shown as {factor} x {factor}"
        )
        yield _figure(view, f"{name}: the face, {_size_of(face)}, {how}")
        if face.points is not None:
            view, _ = face_view(self.image(face.picture), face.box, face.points)
            yield _figure(view, f"{name}: the points by which the face was aligned")

    def illustrations(self, face: CaseFace) -> Iterator[ReportFigure]:
        """Yield what the network made of a probe."""
        captions = {
            "hallucinated": "hallucinated: not a photograph",
            "landmarks": "hallucinated: not a photograph; the dots are the landmarks that the network assumes",
        }
        for kind, caption in captions.items():
            if kind in face.illustrations:
                file = self.folder / ILLUSTRATIONS / face.illustrations[kind].file
                image = read_image(read_bytes(file, largest=LARGEST_ILLUSTRATION), str(file))
                yield _figure(Image.fromarray(image), caption)


def _verification_sections(pictures: _Pictures, answer: CaseVerification, title: str) -> Iterator[ReportSection]:
    record = pictures.record
    plain = answer.model_dump(
        exclude={"probe_faces", "gallery_faces", "chosen_on", "ratio", "quality", "pooled_quality"}
    )
    for name in ("far_interval", "frr_interval"):
        plain[name] = plain[name] and tuple(plain[name])
    verification = Verification(
        **plain,
        chosen_on=CalibrationSet(**answer.chosen_on.model_dump()),
        ratio=None if answer.ratio is None else Ratio(**answer.ratio.model_dump()),
        quality=None if answer.quality is None else ProbeQuality(**answer.quality.model_dump()),
        pooled_quality=None if answer.pooled_quality is None else PooledQuality(**answer.pooled_quality.model_dump()),
    )
    side, *rest = (_sentence(_shown(line)) for line in verification.in_words())
    probes = [record.faces[place] for place in answer.probe_faces]
    sharp = [record.faces[place] for place in answer.gallery_faces]
    warning = unsharp(answer.gallery_size, SHARP * record.model.hr_size)
    blocks: list[ReportText | ReportRows] = [
        *(
            ReportText(_sentence(_shown(caution)), "caution") for caution in verification.cautions()
        ),  # before the verdict
        ReportText(side, "answer"),
        *([ReportText(_sentence(warning), "caution")] if warning else []),  # it speaks of the rates below
        *(ReportText(line) for line in rest),
        *_quality_rows(record, answer),
        *_cautions(record, [*probes, *sharp]),
        ReportText(f"{FAR_MEANING} {NO_IDENTITY}"),
        *([] if answer.ratio is None else [ReportText(RATIO_MEANING)]),
    ]
    yield ReportSection(title, tuple(blocks))
    yield ReportSection(
        "The pictures",
        tuple(FigureRow(tuple(pictures.figures(face))) for face in [*probes, *sharp]),
    )
    yield from _hallucination(pictures, probes)


def _search_sections(pictures: _Pictures, search: CaseSearch, title: str) -> Iterator[ReportSection]:
    record = pictures.record
    face = record.faces[search.face]
    count = sum(hit.accepted for hit in search.hits)
    above = "1 person is" if count == 1 else f"{count or 'no'} people are"
    blocks: list[ReportText | ReportRows] = [
        *(
            ReportText(_sentence(_shown(caution)), "caution")
            for caution in search_cautions(search.model_dump(include={"quality", "fpir", "beyond"}))
        ),
        ReportText(_sentence(f"{above} above the threshold"), "answer"),
        ReportText(
            f"The face on the probe {_shown(record.pictures[face.picture].name)} has {_size_of(face)}, and the "
            f"threshold for it is {search.threshold:.3f}. {_gallery_sentence(record.gallery)}"
        ),
        ReportText(SEARCH_MEANING),
        *(ReportText(_sentence(rate)) for rate in _search_rates(search, record.gallery)),
        ReportText(f"Measured on {_shown(CalibrationSet(**search.chosen_on.model_dump()).in_words())}."),
        *_cautions(record, [face]),
        ReportRows(("", "person", "similarity", "side of the threshold", "gallery picture", "enrolled"), _hits(search)),
    ]
    yield ReportSection(title, tuple(blocks))
    shown = [
        _figure(
            picture_view(pictures.image(hit.picture), None),
            f"{rank}. {_shown(hit.person)}, similarity {_similarity(hit, search.threshold)}: {_shown(hit.source)}",
        )
        for rank, hit in enumerate(search.hits, start=1)
        if hit.picture is not None
    ]
    yield ReportSection(
        "The pictures",
        (FigureRow(tuple(pictures.figures(face))), *([FigureRow(tuple(shown))] if shown else [])),
    )
    yield from _hallucination(pictures, [face])


def _quality_rows(record: CaseRecord, answer: CaseVerification) -> Iterator[ReportRows]:
    """Yield the table of the quality of each of several probes."""
    if answer.pooled_quality is not None:
        names = [_shown(record.pictures[record.faces[place].picture].name) for place in answer.probe_faces]
        scores = ["not known" if score is None else f"{score:.2f}" for score in answer.pooled_quality.scores]
        yield ReportRows(("probe", "quality, alone"), tuple(zip(names, scores, strict=False)))


def _hits(search: CaseSearch) -> tuple[tuple[str, ...], ...]:
    remarks = {"changed": ", CHANGED since it was enrolled", "gone": ", not there when the search was made"}
    return tuple(
        (
            str(rank),
            _shown(hit.person),
            _similarity(hit, search.threshold),
            "above" if hit.accepted else "below",
            _shown(hit.source) + remarks.get(hit.state, "") + _pooled_remark(hit),
            _shown(hit.enrolled or "unknown")[:10],
        )
        for rank, hit in enumerate(search.hits, start=1)
    )


def _similarity(hit: CaseHit, threshold: float) -> str:
    """Return the similarity of a hit, and the threshold too if they differ beyond three decimals alone."""
    similarity, shown = shown_apart(hit.similarity, threshold if hit.threshold is None else hit.threshold)
    return similarity if len(similarity.partition(".")[2]) == 3 else f"{similarity} (threshold {shown})"


def _pooled_remark(hit: CaseHit) -> str:
    """Return what is said of a hit that is a template of several pictures; "" for one of a single picture."""
    if hit.pooled == 1:
        return ""
    threshold = "" if hit.threshold is None else f", whose threshold is {hit.threshold:.3f}"
    return f" (the nearest of {hit.pooled} pictures of one template{threshold})"


def _gallery_sentence(gallery: CaseGallery | None) -> str:
    templates = gallery.templates if gallery else 0
    sentence = f"The gallery has {templates:,} {'picture' if templates == 1 else 'pictures'}"
    if gallery is None or gallery.people is None:
        return f"{sentence}."
    return (
        f"{sentence} of {gallery.people:,} {'person' if gallery.people == 1 else 'people'}; the pictures of each are "
        "one template, whose threshold depends on their number."
    )


def _search_rates(search: CaseSearch, gallery: CaseGallery | None) -> Iterator[str]:
    """Yield what is known of the rates of a search."""
    if search.far is not None:
        templates = gallery.templates if gallery else 0
        pictures = f"{templates:,} pictures"
        if gallery is not None and gallery.people is not None:
            templates = gallery.people
            pictures = f"{templates:,} people"
        yield f"the threshold is that of {in_words(search.far)} for one comparison. {FAR_MEANING[:-1]}"
        passed = expected_count(search.far * templates)
        yield f"in a gallery of {pictures}, a stranger passes for {passed} of them on average"
    elif search.fpir_interval and search.fnir_interval and search.fpir is not None and search.fnir is not None:
        intervals = ((each[0], each[1]) for each in (search.fpir_interval, search.fnir_interval))
        yield SearchPoint(search.threshold, search.fpir, search.fnir, *intervals).in_words()
    elif search.fpir is not None:
        yield f"about {count_of(search.fpir)} searches for strangers give a false hit"


def _hallucination(pictures: _Pictures, faces: Sequence[CaseFace]) -> Iterator[ReportSection]:
    blocks = [FigureRow(tuple(pictures.illustrations(face))) for face in faces if face.illustrations]
    if blocks:
        yield ReportSection(
            "What a network makes of the probe: no evidence", (ReportText(NO_EVIDENCE, "caution"), *blocks)
        )


def _cautions(record: CaseRecord, faces: Sequence[CaseFace]) -> Iterator[ReportText]:
    """Yield what the command warned of."""
    for face in faces:
        name = _shown(record.pictures[face.picture].name)
        if face.size < face.pixels:
            yield ReportText(
                f"{name}: the face has {face.pixels:.0f} pixels, but is judged as one of {face.size:.0f} pixels.",
                "caution",
            )
        for note in face.notes:
            yield ReportText(_sentence(f"{name} {_shown(note)}"), "caution")


def _people_section(record: CaseRecord) -> ReportSection:
    looked = [ReportText(_shown(name), "point") for name in record.reviewers]
    nobody = ReportText("The record names nobody who looked at the pictures.", "caution")
    first = ReportText("These people are named as having looked at the pictures:")
    return ReportSection("Who looked", (first, *looked) if looked else (nobody,))


def _origin_sections(folder: Path, record: CaseRecord) -> Iterator[ReportSection]:
    """Yield the settings, and what is needed to check the record."""
    settings = record.settings.model_dump()
    used = tuple((SETTINGS[name], _setting(value)) for name, value in settings.items() if value is not None)
    yield ReportSection(
        "How it was asked", (ReportRows(("setting", "value"), (("command", f"rim {record.command}"), *used)),)
    )
    listed = list(record.left_out.items())[:MOST_LEFT_OUT]
    left_out = tuple((_shown(name), _shown(reason)) for name, reason in listed)
    if more := len(record.left_out) - len(listed):
        left_out += ((f"and {more:,} more", f"{RECORD} names them"),)
    if left_out:
        yield ReportSection("Pictures that were left out", (ReportRows(("picture", "reason"), left_out),))
    digests = [(f"{_side(each.side)} {_shown(each.name)}", each.sha256) for each in record.pictures]
    model = [
        (f"model, {name.replace('_', ' ')}", value)
        for name, value in record.model.model_dump(exclude={"hr_size"}).items()
        if value is not None
    ]
    thresholds = [("thresholds and rates", record.thresholds.sha256)]
    gallery = [] if record.gallery is None else [("gallery", record.gallery.sha256)]
    own = [(RECORD, content_digest(folder / RECORD))]
    versions = tuple((_shown(name), _shown(value)) for name, value in record.versions.items())
    yield ReportSection(
        "How to check it",
        (
            ReportText(
                "rim replay answers again from the pictures of the record, and says whether every bit is the same. The "
                "digests (SHA-256) name the files: another file has another one. Note down that of record.json."
            ),
            ReportRows(("file", "SHA-256 or fingerprint"), (*own, *digests, *model, *thresholds, *gallery)),
            ReportRows(("program or machine", "version"), versions),
        ),
    )


def _figure(picture: Image.Image, caption: str) -> ReportFigure:
    return ReportFigure(png_bytes(picture), picture.width, picture.height, caption)


def _size_of(face: CaseFace) -> str:
    return f"{face.size:.0f} px"


def _side(side: str) -> str:
    return {"probe": "probe", "gallery": "gallery picture", "hit": "gallery picture"}[side]


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"{number:g}" for number in value)
    return _shown(str(value))


def _shown(text: str) -> str:
    """Return text of somebody else on one line, and without its middle if it is very long."""
    text = printable(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT // 2]} … {text[-LONGEST_TEXT // 2 :]}"


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."
