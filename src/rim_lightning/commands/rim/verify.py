"""`rim verify`: do two pictures show one person?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.options import (
    EXIT_CODES,
    NO,
    ModelChoice,
    Place,
    aligned_option,
    demo_option,
    echo_json,
    faces_of,
    far_option,
    json_option,
    model_options,
    report_enlarged,
    report_left_out,
    report_several_faces,
    say,
    size_option,
)
from rim_lightning.inference.verdict import verdict

if TYPE_CHECKING:
    from rim_lightning.inference.recognizer import Verification


@click.command(epilog=EXIT_CODES)
@model_options
@click.argument("probe", type=Place())
@click.argument("gallery", type=Place())
@far_option
@aligned_option
@size_option
@demo_option
@json_option
def verify(
    model: ModelChoice,
    probe: Path,
    gallery: Path,
    far: float,
    aligned: bool,
    size: float | None,
    demo: bool,
    as_json: bool,
) -> None:
    """Do PROBE and GALLERY show one person?

    Each is a picture, or a folder of pictures of one person. Pictures of a folder that cannot be used are left out.
    Exit code 0: yes, 1: no.

    \b
    Examples:
      rim verify --model my_model cctv.png passport.jpg
      rim verify --model my_model cctv.png passport.jpg --far 1e-2 --json
    """
    from rim_lightning.inference.faces import SHARP, judged_as

    recognizer = model.load(demo)
    recognizer.required_calibration().check_far(far)
    left_out: dict[str, str] = {}
    probes, sharp = (faces_of(recognizer, path, aligned, left_out) for path in (probe, gallery))
    probes = judged_as(probes, size)
    answer = recognizer.verify(probes, sharp, far)
    if as_json:
        faces: dict[str, list[Any]] = {
            "probe_faces": [face.faces for face in probes],
            "gallery_faces": [face.faces for face in sharp],
        }
        faces |= {
            "probe_pixels": [face.pixels_across for face in probes],
            "gallery_pixels": [face.pixels_across for face in sharp],
        }
        echo_json(answer._asdict() | {"chosen_on": answer.chosen_on._asdict()} | faces | {"left_out": left_out})
    else:
        report_several_faces(probes + sharp)
        report_enlarged(probes + sharp)
        report_left_out(left_out)
        _print_answer(answer, SHARP * recognizer.rim.hr_size)
    sys.exit(0 if answer.same_person else NO)


def _print_answer(answer: Verification, sharp_size: float) -> None:
    """Print the answer; warn if the gallery face is smaller than `sharp_size` pixels."""
    if answer.gallery_size < sharp_size:
        say(
            f"the gallery face has {answer.gallery_size:.0f} px: the rates below are those of sharp ones, of "
            f"{sharp_size:.0f} px or more",
            err=True,
        )
    say(verdict(answer.same_person, answer.far))
    say(f"similarity {answer.similarity:.3f}, threshold {answer.threshold:.3f}")
    counts = (
        f" ({_counted(answer.probes, 'probe')}, {_counted(answer.gallery, 'gallery picture')}, pooled)"
        if answer.probes + answer.gallery > 2
        else ""
    )
    say(
        f"for a probe of {answer.probe_size:.0f} px{counts}: {answer.far:.3g} of strangers are accepted and "
        f"{answer.frr:.3f} of true pairs refused, on {answer.chosen_on.in_words()}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
