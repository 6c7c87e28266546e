"""Write the tracks of a clip into a folder: pictures, a table, and a record with which the same command resumes."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from rim_lightning.data.detector_choice import DetectorName
from rim_lightning.data.detectors import Face
from rim_lightning.data.video import Clip, Frame, open_clip, time_code
from rim_lightning.files import check_folder, content_digest, read_bytes, write_json, write_text
from rim_lightning.inference.face_pictures import save_picture
from rim_lightning.inference.tracks import FoundTrack, TrackCollector, find_in_frames
from rim_lightning.json_files import checked_line, from_checked_line, read_json
from rim_lightning.locks import process_lock, wait_and_hold
from rim_lightning.schema import Count, Digest, Schema, checked

TRACK_TABLE, RECORD, JOURNAL, LOCK_FILE = "tracks.csv", "tracks.json", ".found.jsonl", ".lock"
"""Files of the folder. The journal holds the faces that were found, frame by frame, until the clip is done."""

COLUMNS = ("picture", "track", "frame", "time", "x0", "y0", "x1", "y1", "size", "confidence", "face")
TRACK_FOLDER = re.compile(r"track_\d{4,}")
PARTS = ".tracks.*.part"
"""Files of the folder that a process left which was killed while it wrote them."""
RULES = 1
"""Version of the rules by which faces are found, linked and chosen. A folder of another version begins again."""


class TrackSettings(Schema):
    """What decides the content of the folder.

    Attributes:
        clip: SHA-256 of the clip.
        every: One frame of so many is searched.
        fps: Frames per second that are searched, as text; None for all of `every`.
        best: Number of pictures of a track.
        detector: Name of the detector.
        rules: See `RULES`.
    """

    clip: Digest
    every: Annotated[int, Field(ge=1)]
    fps: str | None
    best: Annotated[int, Field(ge=1)]
    detector: str
    rules: int = RULES


class TrackSummary(Schema):
    """What a clip showed.

    Attributes:
        tracks: Number of tracks.
        pictures: Number of pictures.
        searched: Number of frames that were searched.
        frames: Number of frames of the clip.
        remark: What could not be read of the clip, see `Clip.remark`; None if nothing is missing.
    """

    tracks: Count
    pictures: Count
    searched: Count
    frames: Count
    remark: str | None


class TrackRecord(Schema):
    """The record of a folder; `summary` is None until the clip is done."""

    settings: TrackSettings
    summary: TrackSummary | None = None


def write_tracks(
    path: Path,
    out: Path,
    every: int,
    fps: Fraction | None,
    best: int,
    detector: DetectorName,
    device: str,
    bar: Callable[[Clip, Iterable[Frame]], Iterable[Frame]],
    say: Callable[[str], None],
) -> TrackSummary:
    """Find and follow the faces of a clip, and write the best pictures of each track. Repeat the call to resume.

    Args:
        path: The clip.
        out: Folder for the pictures and the table. It is made, for this user alone, if it is missing.
        every: Search one frame of so many.
        fps: Search so many frames per second instead.
        best: Number of pictures of a track.
        detector: Name of the detector.
        device: Device on which it runs.
        bar: Wraps the frames in a progress bar.
        say: Prints a line on what is resumed or begun again.

    Returns:
        What the clip showed.

    Raises:
        VideoError: If the clip cannot be used.
        ValueError: If the folder holds other files, or its record is damaged.
        OSError: If a file cannot be read or written.
    """
    with open_clip(path) as clip:
        settings = TrackSettings(
            clip=content_digest(path), every=every, fps=None if fps is None else str(fps), best=best, detector=detector
        )
        _record_of(out)  # refuses a folder before anything is written there
        if not out.exists():
            check_folder(out.parent, "place")
            out.mkdir(mode=0o700, exist_ok=True)
        with wait_and_hold(process_lock(out / LOCK_FILE), f"Waiting for another process, which writes to {out} ..."):
            record = _record_of(out)
            if record is not None and record.settings == settings and record.summary is not None:
                say(f"{out} holds the tracks of {clip.name} already")
                return record.summary
            for part in (*out.glob(PARTS), *out.glob("track_*/.frame_*.part")):
                part.unlink()
            if record is not None and record.settings != settings:
                say(f"{out} holds tracks of another clip or of other settings: it begins again")
                write_json(out / RECORD, TrackRecord(settings=record.settings).model_dump())  # they are no longer whole
                _remove_own(out)
            write_json(out / RECORD, TrackRecord(settings=settings).model_dump())
            summary = _follow(clip, out, settings, fps, device, bar, say)
            write_json(out / RECORD, TrackRecord(settings=settings, summary=summary).model_dump())
            (out / JOURNAL).unlink(missing_ok=True)
            return summary


def _record_of(out: Path) -> TrackRecord | None:
    """Return the record of a folder; None if there is no folder, or it is empty."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder for the tracks.")
    if (out / RECORD).is_file():
        advice = "choose another folder"
        return checked(TrackRecord, read_json(out / RECORD, dict, advice), out / RECORD, advice)
    leftovers = set(out.glob(PARTS)) if out.is_dir() else set()
    if out.is_dir() and any(entry.name != LOCK_FILE and entry not in leftovers for entry in out.iterdir()):
        raise ValueError(f"{out} holds other files than tracks: choose an empty folder, or a new one.")
    return None


def _remove_own(out: Path) -> None:
    """Remove what an earlier call wrote."""
    (out / JOURNAL).unlink(missing_ok=True)
    (out / TRACK_TABLE).unlink(missing_ok=True)
    for folder in out.iterdir():
        if TRACK_FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)


def _follow(
    clip: Clip,
    out: Path,
    settings: TrackSettings,
    fps: Fraction | None,
    device: str,
    bar: Callable[[Clip, Iterable[Frame]], Iterable[Frame]],
    say: Callable[[str], None],
) -> TrackSummary:
    """Follow the faces, write each track when it has ended, and the table at the end."""
    rows: list[list[Any]] = []
    collector = TrackCollector(settings.best)
    searched = tracks = 0

    def write(ended: Iterable[FoundTrack]) -> None:
        nonlocal tracks
        for track in ended:
            tracks += 1
            rows.extend(_write_pictures(track, out))

    with closing(_Journal(out / JOURNAL)) as journal:
        if journal.known:
            say(f"resumed: the faces of the first {len(journal.known)} frames were found before")
        frames = bar(clip, clip.frames(settings.every, fps))
        for frame, faces in journal.faces_of(frames, settings.detector, device):
            searched += 1
            write(collector.add(frame, faces))
    write(collector.finish())
    rows.sort(key=lambda row: (row[1], row[2]))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_text(out / TRACK_TABLE, text.getvalue())
    return TrackSummary(tracks=tracks, pictures=len(rows), searched=searched, frames=clip.decoded, remark=clip.remark())


def _write_pictures(track: FoundTrack, out: Path) -> Iterator[list[Any]]:
    """Write the pictures of a track, and yield their rows of the table."""
    from PIL import Image

    for picture in track.pictures:
        name = f"track_{track.number:04}/frame_{picture.frame:06}.png"
        save_picture(Image.fromarray(picture.image), out / name)
        box = [f"{value:.1f}" for value in picture.box]
        within = ",".join(f"{value:.1f}" for value in picture.within)
        code = time_code(picture.time)
        yield [
            name,
            track.number,
            picture.frame,
            code,
            *box,
            f"{picture.size:.1f}",
            f"{picture.confidence:.3f}",
            within,
        ]


class _Journal:
    """The faces of the frames that were searched, a line each, with a checksum: a line that is cut off does not count.

    Args:
        file: The journal. It is made if it is missing.
    """

    def __init__(self, file: Path) -> None:
        content = read_bytes(file, "remove it") if file.exists() else b""
        self.known, length = _known_lines(content)
        self._file = file.open("ab")
        os.truncate(file, length)

    def close(self) -> None:
        self._file.close()

    def faces_of(self, frames: Iterable[Frame], detector: str, device: str) -> Iterator[tuple[Frame, list[Face]]]:
        """Yield each frame with its faces: those of the journal, or those that are found now."""
        iterator = iter(frames)
        for number, faces in self.known:
            frame = next(iterator, None)
            if frame is None or frame.number != number:
                raise ValueError(f"{self._file.name} is of another clip: remove its folder, then repeat the command.")
            yield frame, faces
        for chunk in find_in_frames(iterator, detector, device):  # type: ignore[arg-type]  # the name was checked
            self._file.write(b"".join(_line(frame.number, faces) for frame, faces in chunk))
            self._file.flush()
            os.fsync(self._file.fileno())
            yield from chunk
            del chunk  # or its frames would stay while the next ones are read


def _line(number: int, faces: list[Face]) -> bytes:
    """Return the line of a frame in the journal."""
    return checked_line(
        [number, [[face.box.tolist(), face.points.tolist(), face.confidence, face.fault] for face in faces]]
    )


def _known_lines(content: bytes) -> tuple[list[tuple[int, list[Face]]], int]:
    """Return the frames and faces of the whole lines at the beginning of a journal, and the length of these lines."""
    known: list[tuple[int, list[Face]]] = []
    length = 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            number, plain = from_checked_line(line)
            known.append((int(number), [_face_of(*values) for values in plain]))
        except (ValueError, TypeError):  # cut off, or somebody else wrote it
            break
        length += len(line)
    return known, length


def _face_of(box: list[float], five: list[list[float]], confidence: float, fault: str | None) -> Face:
    """Return a face of the journal. Raises ValueError or TypeError if it is none."""
    face = Face(np.array(box, np.float64), np.array(five, np.float64), float(confidence), fault and str(fault))
    numbers = np.concatenate([face.box.ravel(), face.points.ravel(), [face.confidence]])
    if face.box.shape != (4,) or face.points.shape != (5, 2) or not np.isfinite(numbers).all():
        raise ValueError("these are no faces")
    return face
