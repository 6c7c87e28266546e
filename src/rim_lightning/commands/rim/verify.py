"""rim_lightning.commands.rim.verify."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rim_lightning.commands.rim.options import (
    DEFAULT_FAR,
    EXIT_CODES,
    NO,
    Place,
    _faces,
    _model_options,
    _name,
    _recognizer,
    _tell_of_many,
    aligned_option,
    json_option,
)


@click.command(epilog=EXIT_CODES)
@_model_options
@click.argument("probe", type=Place())
@click.argument("gallery", type=Place())
@click.option("--far", default=DEFAULT_FAR, show_default=True, help="False accept rate that the threshold is for.")
@aligned_option
@json_option
def verify(model: Path, device: str, probe: Path, gallery: Path, far: float, aligned: bool, as_json: bool) -> None:
    """Do PROBE and GALLERY show one person?

    Each is a picture, or a folder of pictures of one person, of which those that cannot be used are left out. Exit code
    0: yes, 1: no.

    \b
    Examples:
      rim verify --model my_model cctv.png passport.jpg
      rim verify --model my_model cctv.png passport.jpg --far 1e-2 --json
    """
    from rim_lightning.inference.faces import SHARP

    recognizer = _recognizer(model, device)
    left_out: dict[str, str] = {}
    probes, sharp = (_faces(recognizer, path, aligned, left_out) for path in (probe, gallery))
    answer = recognizer.verify(probes, sharp, far)
    if as_json:
        faces = {"probe_faces": [face.faces for face in probes], "gallery_faces": [face.faces for face in sharp]}
        click.echo(json.dumps(answer._asdict() | faces | {"left_out": left_out}))
    else:
        _tell_of_many(probes + sharp)
        _name(left_out)
        sharp_from = SHARP * recognizer.rim.hr_size
        if answer.gallery_size < sharp_from:
            click.echo(
                f"the gallery face has {answer.gallery_size:.0f} px: the rates below are those of sharp ones, of "
                f"{sharp_from:.0f} px or more",
                err=True,
            )
        click.echo("the same person" if answer.same_person else "not the same person")
        click.echo(f"similarity {answer.similarity:.3f}, threshold {answer.threshold:.3f}")
        pooled = (
            f" ({_counted(answer.probes, 'probe')}, {_counted(answer.gallery, 'gallery picture')}, pooled)"
            if answer.probes + answer.gallery > 2
            else ""
        )
        click.echo(
            f"for a probe of {answer.probe_size:.0f} px{pooled}: {answer.far:.3g} of strangers are accepted and "
            f"{answer.frr:.3f} of true pairs refused, on the people of the calibration"
        )
    sys.exit(0 if answer.same_person else NO)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
