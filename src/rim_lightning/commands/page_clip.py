"""The faces of a clip that was given to the page: tracks, of each the best pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from rim_lightning.commands.rim.tracks import BEST
from rim_lightning.files import printable

if TYPE_CHECKING:
    from rim_lightning.data.video import Frame
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer
    from rim_lightning.inference.tracks import FoundTrack

SEARCHED_RATE = Fraction(5)
"""Frames per second that are searched."""
MOST_FRAMES = 600
"""Most frames that are searched: two minutes."""
MOST_PIXELS = 9_000_000
"""Most pixels of a frame: 4K has 8.3 million. Eight frames are in memory at a time."""
MOST_TRACKS = 20
"""Most tracks that are shown, those of the most frames."""


class FollowedFace(NamedTuple):
    """The best pictures of a face that was followed.

    Attributes:
        name: Name of the track.
        heading: Name, and in how many frames it was found.
        lines: Sentences on the pictures.
        faces: The face on each picture, aligned; the best first. At least one.
    """

    name: str
    heading: str
    lines: list[str]
    faces: list[AlignedFace]


class ClipFaces(NamedTuple):
    """What a clip shows: sentences, and faces, the one of most frames first."""

    lines: list[str]
    tracks: list[FollowedFace]


def followed_faces(path: str, recognizer: Recognizer) -> ClipFaces:
    """Follow the faces of a clip, and align the best pictures of each.

    Args:
        path: The clip.
        recognizer: Finds and aligns the faces.

    Returns:
        What was found.

    Raises:
        VideoError: If the clip cannot be used.
        MissingExtra: If the extra `video` is not installed.
        FileNotFoundError: If there is no such file.
    """
    from rim_lightning.data.video import open_clip
    from rim_lightning.inference.tracks import TrackCollector, find_in_frames

    collector, found, searched = TrackCollector(BEST), [], 0
    aligner = recognizer.aligner
    with _named(path), open_clip(path) as clip:
        frames = islice(_checked(clip.frames(fps=SEARCHED_RATE)), MOST_FRAMES)
        for chunk in find_in_frames(frames, aligner.detector, aligner.device):
            for frame, faces in chunk:
                searched += 1
                found += collector.add(frame, faces)
        found += collector.finish()
        remark = clip.remark() if searched < MOST_FRAMES else f"is longer: its first {searched} frames were searched"
    found.sort(key=lambda track: (-track.frames, track.number))
    tracks = [followed for track in found[:MOST_TRACKS] if (followed := _aligned(track, recognizer))]
    count = "One face was" if len(found) == 1 else f"{len(found) or 'No'} faces were"
    lines = [f"{count} followed through {searched} frames, {SEARCHED_RATE} of each second."]
    lines += [f"The {len(tracks)} of the most frames are shown."] if len(found) > len(tracks) else []
    return ClipFaces([*lines, *([f"The clip {remark}."] if remark else [])], tracks)


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield frames. One of too many pixels is refused."""
    from rim_lightning.data.video import VideoError

    for frame in frames:
        height, width = frame.image.shape[:2]
        if height * width > MOST_PIXELS:
            raise VideoError(
                f"The clip has frames of {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million: reduce "
                "it, or follow its faces with rim tracks."
            )
        yield frame


def _aligned(track: FoundTrack, recognizer: Recognizer) -> FollowedFace | None:
    """Align the best pictures of a track; None if its face is found again on none of them."""
    from rim_lightning.data.video import time_code

    name = f"Track {track.number}"
    faces: list[AlignedFace] = []
    codes: list[str] = []
    for picture in sorted(track.pictures, key=lambda picture: (-picture.score, picture.frame)):
        code = time_code(picture.time)
        try:
            faces += recognizer.align(picture.image, name=f"{name} at {code}", face=picture.within)
        except ValueError:
            continue
        codes.append(code)
    if not faces:
        return None
    frames = "one frame" if track.frames == 1 else f"{track.frames} frames"
    lines = [f"The best of them is at {codes[0]}, of {faces[0].size:.0f} px."]
    lines += [f"{face.name} {note}." for face in faces for note in face.notes]
    return FollowedFace(name, f"{name}: in {frames}", lines, faces)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Name the clip in errors as the user knows it: its path is a random one."""
    from rim_lightning.data.video import VideoError

    try:
        yield
    except VideoError as error:
        raise VideoError(str(error).replace(printable(path), "The clip")) from None
