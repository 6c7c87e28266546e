"""`rim identify` by templates: folders of one person each, tables of tracks, and clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.rim.answer_table import Output
from rim_lightning.commands.rim.face_choice import FaceChoice, pictures_of
from rim_lightning.commands.rim.model_choice import ModelChoice, open_gallery
from rim_lightning.commands.rim.options import Decision
from rim_lightning.commands.rim.output import (
    progress_bar,
    report_cautions,
    report_enlarged,
    report_notes,
    say,
)
from rim_lightning.commands.rim.tracks import BEST, check_sampling, frames_bar, sampling_options, say_aside
from rim_lightning.extras import require_extra
from rim_lightning.files import printable
from rim_lightning.inference.verdict import in_words

if TYPE_CHECKING:
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer
    from rim_lightning.inference.templates import PictureGroup

CLIP_ENDINGS = {
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".vob", ".h264", ".264", ".h265", ".265", ".hevc", ".ogv", ".mxf", ".dav", ".dv"),
    *(".mjpeg", ".mjpg", ".nut"),
}
"""Endings of clips, in lower case."""


@dataclass(frozen=True)
class TemplateChoice:
    """What the options `--pool`, `--every`, `--fps` and `--best` say.

    Attributes:
        pool: True if the pictures of each folder are those of one person.
        every: One frame of so many of a clip is searched.
        fps: Frames per second of a clip that are searched instead.
        best: Number of pictures of a track of a clip.
    """

    pool: bool
    every: int
    fps: Fraction | None
    best: int

    def asked(self, probes: Sequence[Path], choice: FaceChoice) -> bool:
        """Return True if a search is one by templates. Refuse wrong options, before a model is loaded."""
        from rim_lightning.gallery.folder_pictures import is_table

        check_sampling(self.every, self.fps)
        clips = [probe for probe in probes if is_clip(probe)]
        tables = [probe for probe in probes if is_table(probe)]
        if clips:
            require_extra("video", "Reading a clip")
        elif (self.every, self.fps, self.best) != (1, None, BEST):
            raise click.UsageError("None of PROBES is a clip: leave --every, --fps and --best out.")
        if (clips or tables) and choice.face is not None:
            raise click.UsageError("The faces of a clip or table are known: leave --face and --box out.")
        if clips and choice.aligned:
            raise click.UsageError("The faces of a clip are searched for: leave --aligned out.")
        if (clips or tables or self.pool) and choice.every:
            raise click.UsageError("A template is of one face of each picture: leave --faces out.")
        return bool(self.pool or clips or tables)


def template_options(command: Any) -> Any:
    """Add `--pool` and the options of clips to a command."""

    @wraps(command)
    def with_choice(*, pool: bool, every: int, fps: Fraction | None, best: int, **values: Any) -> Any:
        return command(pooling=TemplateChoice(pool, every, fps, best), **values)

    option = click.option(
        "--pool", is_flag=True, help="All pictures of each folder are of one person: one answer for each folder."
    )
    return option(sampling_options(with_choice))


def is_clip(path: Path) -> bool:
    """Return True if a path has the ending of a clip."""
    return path.suffix.lower() in CLIP_ENDINGS and not path.is_dir()


def identify_templates(
    model: ModelChoice,
    index: str,
    probes: Sequence[Path],
    top: int,
    choice: FaceChoice,
    decision: Decision,
    pooling: TemplateChoice,
    output: Output,
) -> NoReturn:
    """Search the gallery for templates of pictures; see `rim identify`."""
    from rim_lightning.commands.rim.gallery import end_search, print_hits
    from rim_lightning.inference.search_calibration import pooled_quality_of, search_cautions

    recognizer = decision.load(model)
    gallery = open_gallery(index, recognizer)
    chosen_on = recognizer.required_calibration().chosen_on
    answers: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        groups: list[PictureGroup] = []
        for place in probes:
            try:
                groups += _groups_of(place, pooling, model, left_out, stack)
            except (OSError, ValueError) as error:
                left_out[str(place)] = sentence_of(error)
        for group in progress_bar(groups, "identifying", unit="template"):
            faces = _faces_of(recognizer, group, choice, decision.size, left_out)
            if not faces:
                left_out.setdefault(group.name, f"{group.name} has no picture that can be used.")
                continue
            try:
                answer, warning = _answer(recognizer, gallery, group, faces, top, decision.far)
            except ValueError as error:  # there is no threshold for such a size
                left_out[group.name] = f"{printable(group.name)}: {sentence_of(error)}"
                continue
            answers.append(answer)
            if not output.as_json:
                report_notes(face for face, _ in faces)
                report_enlarged(face for face, _ in faces)
                report_cautions(group.name, search_cautions(answer))
                if warning:
                    say(f"{group.name}: {warning}", err=True)
                print_hits(answer, _heading(answer))
                if quality := pooled_quality_of(answer):
                    say(f"    {quality.in_words()}")
    end_search(chosen_on, gallery, {"far": decision.far}, answers, left_out, output)


def _groups_of(
    place: Path, pooling: TemplateChoice, model: ModelChoice, left_out: dict[str, str], stack: ExitStack
) -> Iterator[PictureGroup]:
    """Yield the templates of a clip, a table, a folder or a picture. What a clip shows is left out if it is damaged."""
    from rim_lightning.gallery.folder_pictures import is_table
    from rim_lightning.inference.templates import PictureGroup, TemplatePicture, read_groups
    from rim_lightning.inference.track_folder import TRACK_TABLE, write_tracks

    if is_clip(place):
        out = stack.enter_context(private_folder(unused_folder())) / "tracks"
        summary = write_tracks(
            place, out, pooling.every, pooling.fps, pooling.best, model.detector, model.device, frames_bar, say_aside
        )
        if summary.remark:
            left_out[str(place)] = f"{place} {summary.remark}."
        if summary.tracks:
            for group in read_groups(out / TRACK_TABLE, str(place)):
                pictures = [picture._replace(name=f"{place} at {picture.time}") for picture in group.pictures]
                yield group._replace(pictures=pictures)
        elif not summary.remark:
            say(f"no face was found in {summary.searched} of {summary.frames} frames of {place}", err=True)
    elif is_table(place):
        yield from read_groups(place, str(place))
    elif pooling.pool and place.is_dir():
        yield PictureGroup(str(place), [TemplatePicture(path) for path in pictures_of(place, left_out)])
    else:
        for path in pictures_of(place, left_out):
            yield PictureGroup(str(path), [TemplatePicture(path)])


def _faces_of(
    recognizer: Recognizer, group: PictureGroup, choice: FaceChoice, size: float | None, left_out: dict[str, str]
) -> list[tuple[AlignedFace, str]]:
    """Return the usable faces of a template, each with its time code."""
    from rim_lightning.inference.faces import judged_as

    faces: list[tuple[AlignedFace, str]] = []
    known: dict[bytes, AlignedFace] = {}
    for picture in group.pictures:
        try:
            if picture.box is not None and not choice.aligned:
                aligned = recognizer.align(picture.path, name=picture.name, face=picture.box)
            else:
                aligned = choice.align(recognizer, picture.path)
            for face in judged_as(aligned, size):
                if (original := known.setdefault(face.content(), face)) is not face:
                    raise ValueError(f"{face.name} is a copy of {original.name}, which counts once.")
                faces.append((face, picture.time))
        except (OSError, ValueError) as error:
            left_out[picture.name or str(picture.path)] = sentence_of(error)
    return faces


def _answer(
    recognizer: Recognizer,
    gallery: Gallery,
    group: PictureGroup,
    faces: Sequence[tuple[AlignedFace, str]],
    top: int,
    far: float,
) -> tuple[dict[str, Any], str]:
    """Search the gallery for one template. Return the answer for a JSON object, and a warning if pictures disagree."""
    from rim_lightning.commands.rim.face_questions import search_template

    aligned = [face for face, _ in faces]
    names = [face.name for face in aligned]
    found, split = search_template(recognizer, gallery, aligned, top, far)
    answer = {
        "template": group.name,
        "track": group.track,
        "pictures": [{"picture": face.name, "time": time or None} | face.plain() for face, time in faces],
        "size": min(face.size for face in aligned),
        "probes": len(aligned),
        "disagreement": split and split.plain(names),
        **found,
    }
    return answer, split.in_words(names) if split else ""


def _heading(answer: dict[str, Any]) -> str:
    """Return the line above the hits of a template."""
    times = [picture["time"] for picture in answer["pictures"] if picture["time"]]
    seen = f", {times[0]} to {times[-1]}" if len(times) > 1 else "".join(f", {time}" for time in times)
    count = f"{answer['probes']} picture" + ("s, pooled" if answer["probes"] > 1 else "")
    return (
        f"{answer['template']}{seen} ({count}): {answer['size']:.0f} px, threshold {answer['threshold']:.3f} "
        f"({in_words(answer['far'])})"
    )
