"""`rim calibrate`: measure thresholds, error rates and likelihood ratios for one's own probes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.info import calibration_lines
from rim_lightning.commands.rim.model_choice import ModelChoice, model_options
from rim_lightning.commands.rim.options import EXIT_CODES, Place
from rim_lightning.commands.rim.output import exit_if_left_out, progress_bar, report_left_out, say

if TYPE_CHECKING:
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.inference.measured_people import Measured, Pictures
    from rim_lightning.inference.people import People
    from rim_lightning.inference.recognizer import Recognizer


@click.command(epilog=EXIT_CODES)
@model_options
@click.argument("file", type=Place())
@click.option(
    "--probes",
    type=Place(),
    help="Folder of true probes with a folder for each person; needs --gallery. Best, because nothing is imitated.",
)
@click.option("--gallery", type=Place(), help="Folder of sharp pictures of the same and of other people, likewise.")
@click.option(
    "--photographs",
    type=Place(),
    help="Folder of sharp photographs with a folder for each person: they are reduced to probes of every size.",
)
@click.option(
    "--degradation",
    type=click.Choice(["bicubic", "camera"]),
    default="camera",
    show_default=True,
    help="How --photographs are reduced: plainly, or with blur, noise and compression.",
)
@click.option("--plot", type=Place(), help="Picture to write: Tippett plot and empirical cross-entropy (ECE).")
@click.option("--overwrite", is_flag=True, help="Replace FILE and the picture.")
def calibrate(
    model: ModelChoice,
    file: Path,
    probes: Path | None,
    gallery: Path | None,
    photographs: Path | None,
    degradation: str,
    plot: Path | None,
    overwrite: bool,
) -> None:
    """Measure how often MODEL is right on people whom you know, and write it to FILE.

    `rim verify --calibration FILE` then answers with these thresholds and rates. Faces are searched for as in all
    commands; probes in which none is found are counted. A false accept rate needs people: with 30 people 1 in 100 can
    be measured, with 150 people 1 in 1,000.

    \b
    Examples:
      rim calibrate camera_7.json --probes camera_7/ --gallery passports/ --plot camera_7.png
      rim calibrate staff.json --photographs staff/ --degradation bicubic
      rim verify --calibration camera_7.json cctv.png passport.jpg
    """
    from rim_lightning.commands.rim.new_file import check_new_file
    from rim_lightning.files import check_writable
    from rim_lightning.inference.calibrate import thresholds_of
    from rim_lightning.inference.calibration_file import write_calibration

    if (photographs is None) == (probes is None) or (probes is None) != (gallery is None):
        raise click.UsageError("Give --probes and --gallery, or --photographs.")
    check_new_file(file, (), overwrite)
    check_writable(file, "FILE")
    if plot is not None:
        _check_plot(plot, overwrite)
    sides = {place: _pictures(place) for place in (probes, gallery, photographs) if place is not None}
    recognizer = model.load()
    if recognizer.embedder.usage.reduced_gallery is not None:
        raise ValueError(
            "The model looks twice at a gallery picture, which rim calibrate cannot measure: export it without "
            "--reduced-gallery."
        )
    if photographs is not None:
        measured = _of_photographs(recognizer, photographs, sides[photographs], degradation)
    else:
        measured = _of_probes(recognizer, sides, probes, gallery)
    calibration = thresholds_of(measured.people)
    if not calibration.usable_fars():
        raise ValueError(
            f"{calibration.set_name} has {calibration.people} people and {calibration.impostors:,} pairs of two "
            "people: too few for any false accept rate. Give more people."
        )
    write_calibration(file, calibration, recognizer.probe_fingerprint)
    if plot is not None:
        _plot(plot, measured.people, calibration)
    for line in calibration_lines(calibration, recognizer.rim.lr_size):
        say(line)
    say(f"Calibration: {file}")
    report_left_out(measured.left_out)
    exit_if_left_out(len(measured.left_out), calibration.people)


def _check_plot(path: Path, overwrite: bool) -> None:
    from rim_lightning.commands.rim.new_file import check_ending, check_new_file
    from rim_lightning.extras import require_extra
    from rim_lightning.files import check_writable

    require_extra("page", "--plot")
    check_ending(path, (".png", ".pdf", ".svg"), "picture")
    check_new_file(path, (), overwrite)
    check_writable(path, "--plot")


def _plot(path: Path, people: People, calibration: Calibration) -> None:
    """Plot the likelihood ratios of single pictures, a curve for each size of the probe."""
    from rim_lightning.evaluation.ratio_plots import RatedPairs, plot_ratios
    from rim_lightning.functional.likelihood_ratio import BoundedRatio
    from rim_lightning.inference.calibrate import compared_pictures

    assert calibration.ratios is not None  # `thresholds_of` fits them
    curves = {}
    for size, numbers in zip(calibration.sizes, calibration.ratios[0, 0].tolist(), strict=True):
        scores, same = compared_pictures(people, size)
        curves[f"{size} px"] = RatedPairs(scores.numpy(), same.numpy(), BoundedRatio(*numbers[:3]))
    plot_ratios(path, curves, f"Likelihood ratios, measured on {calibration.chosen_on.in_words()}")
    say(f"Plot: {path}")


def _pictures(folder: Path) -> Pictures:
    """List person and path of each picture of a folder that has a folder for each person."""
    from rim_lightning.data.listing import folders_in, list_pictures
    from rim_lightning.gallery.names import person_of

    listed = list_pictures(folder).pictures
    if not folders_in(folder):
        raise ValueError(f"{folder} has no folder for each person: put the pictures of each person into one.")
    return [(person_of(path, folder), path) for path in listed if path.parent != folder]


def _of_photographs(recognizer: Recognizer, folder: Path, pictures: Pictures, degradation: str) -> Measured:
    from rim_lightning.files import real_path
    from rim_lightning.functional.seeded_probes import ProbeKind
    from rim_lightning.inference.measured_people import people_of_photographs

    kind = ProbeKind(degradation)
    return people_of_photographs(recognizer, pictures, real_path(folder).name, kind=kind, progress=_bar)


def _of_probes(recognizer: Recognizer, sides: dict[Path, Pictures], probes: Any, gallery: Any) -> Measured:
    from rim_lightning.files import real_path
    from rim_lightning.inference.measured_people import people_of_probes

    title = f"{real_path(probes).name} and {real_path(gallery).name}"
    return people_of_probes(recognizer, sides[probes], sides[gallery], title, _bar)


def _bar(pictures: Pictures) -> Any:
    return progress_bar(pictures, "measuring")
