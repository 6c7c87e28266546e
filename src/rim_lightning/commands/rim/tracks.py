"""`rim tracks`: follow the faces of a clip, and write the best pictures of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.device import check_device
from rim_lightning.commands.errors import PARTLY
from rim_lightning.commands.rim.model_choice import detector_options
from rim_lightning.commands.rim.options import EXIT_CODES, NO, Place, json_option
from rim_lightning.commands.rim.output import echo_json, say
from rim_lightning.extras import require_extra

if TYPE_CHECKING:
    from rim_lightning.data.detector_choice import DetectorName
    from rim_lightning.data.video import Clip, Frame

BEST = 4
"""Pictures of a track: thresholds are chosen for templates of up to four pictures."""


def _frame_rate(ctx: click.Context, param: click.Parameter, fps: float | None) -> Fraction | None:
    """Return the value of `--fps`; refuse what is no rate."""
    if fps is None:
        return None
    if not 0 < fps <= 1000:
        raise click.BadParameter(f"{fps:g} is no number of frames per second: give one above 0, such as 5 or 0.5.")
    return Fraction(repr(fps))


def sampling_options(command: Any) -> Any:
    """Add `--every`, `--fps` and `--best`, which say how much of a clip is used."""
    best_option = click.option(
        "--best", default=BEST, show_default=True, type=click.IntRange(1, 100), help="Pictures kept of each track."
    )
    fps_option = click.option(
        "--fps", type=float, callback=_frame_rate, help="Search so many frames per second of a clip."
    )
    every_option = click.option(
        "--every", default=1, show_default=True, type=click.IntRange(1), help="Search one frame of so many of a clip."
    )
    return every_option(fps_option(best_option(command)))


@click.command(epilog=EXIT_CODES)
@detector_options
@click.argument("clip", type=Place())
@click.argument("out", type=Place())
@sampling_options
@json_option
def tracks(
    device: str,
    detector: DetectorName,
    clip: Path,
    out: Path,
    every: int,
    fps: Fraction | None,
    best: int,
    as_json: bool,
) -> None:
    """Follow the faces of CLIP, and write the best pictures of each into the folder OUT.

    A track is one face that is seen without a break. OUT gets a folder for each, with the face and what surrounds it
    in pixels of the clip, and the table tracks.csv with the frame, its time and the place of each picture. No model is
    needed. Repeat the command to resume. Exit code 0: there are tracks, 1: there are none, 3: the clip is damaged.

    \b
    Examples:
      rim tracks clip.mp4 tracks
      rim tracks clip.mp4 tracks --fps 5 --best 8
      rim verify tracks/track_0001 passport.jpg
      rim identify --index known tracks/tracks.csv
    """
    require_extra("video", "Reading a clip")
    from rim_lightning.inference.track_folder import TRACK_TABLE, write_tracks

    check_sampling(every, fps)
    check_device(device, "--device ")
    summary = write_tracks(clip, out, every, fps, best, detector, device, frames_bar, say_aside)
    if as_json:
        echo_json({"clip": str(clip), "table": str(out / TRACK_TABLE)} | summary.model_dump())
    else:
        counts = f"{summary.searched} of {summary.frames} frames of {clip}"
        if summary.tracks:
            say(f"{summary.tracks} tracks in {counts}: {summary.pictures} pictures, listed in {out / TRACK_TABLE}")
        else:
            say(f"no face was found in {counts}", err=True)
        if summary.remark:
            say(f"{clip} {summary.remark}", err=True)
    sys.exit(PARTLY if summary.remark else 0 if summary.tracks else NO)


def check_sampling(every: int, fps: Fraction | None) -> None:
    """Refuse `--every` beside `--fps`."""
    if every != 1 and fps is not None:
        raise click.UsageError("Give one of --every and --fps.")


def frames_bar(clip: Clip, frames: Iterable[Frame]) -> Iterable[Frame]:
    """Wrap the frames of a clip in a progress bar that counts those that were decoded."""
    from rim_lightning.runs.progress import progress_bar

    with progress_bar(total=clip.expected or None, desc="following", unit="frame", leave=False) as bar:
        for frame in frames:
            yield frame
            bar.update(clip.decoded - bar.n)


def say_aside(line: str) -> None:
    """Print a line on the error output."""
    say(line, err=True)
