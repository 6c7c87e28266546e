"""`rim measure`: figures of any system from its scores or embeddings, by the protocols and intervals of rim-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim_lightning.commands.rim.answer_table import overwrite_option, write_answers
from rim_lightning.commands.rim.measured_systems import (
    Embedding,
    NamedSystem,
    check_store_options,
    embedder_options,
    facts_of_store,
    judge_systems,
    named_systems,
    open_source,
    sentences_of_store,
)
from rim_lightning.commands.rim.options import EXIT_CODES, Place, json_option
from rim_lightning.commands.rim.output import echo_json, say

if TYPE_CHECKING:
    from rim_lightning.evaluation.judged_pairs import JudgedPairs
    from rim_lightning.evaluation.yardstick import Figure, MeasuredSystem

FIGURES = ("figures.csv", "figures.json", "figures.md")
PLOTS = ("roc_det.png", "ratios.png")
COLUMNS = ("system", "minus", "figure", "value", "low", "high")


@click.command(epilog=EXIT_CODES)
@click.argument("systems", metavar="[NAME=]FILE[,PROBES]...", nargs=-1, required=True)
@click.option(
    "--pairs", type=Place(), help="List of pairs for embeddings: CSV, LFW's pairs.txt, a pack, or QMUL-SurvFace."
)
@click.option(
    "--templates",
    type=Place(),
    help="List of IJB, '<picture> <template> <medium>': embeddings are pooled, and --pairs has pairs of templates.",
)
@click.option("--pictures", type=Place(), help="Table (name, person) that names the rows of an .npy file.")
@click.option(
    "--calibration",
    "calibrations",
    type=Place(),
    multiple=True,
    help="Table of scores of other people, to which likelihood ratios are fitted; once for each system.",
)
@embedder_options
@click.option("--out", type=Place(), help="Folder to write: figures.csv, figures.json and figures.md.")
@click.option("--plot", is_flag=True, help="Write roc_det.png and ratios.png (Tippett and ECE) into --out, too.")
@overwrite_option
@json_option
def measure(
    systems: tuple[str, ...],
    pairs: Path | None,
    templates: Path | None,
    pictures: Path | None,
    calibrations: tuple[Path, ...],
    embedder: Embedding,
    out: Path | None,
    plot: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure any system with the yardstick of this project.

    FILE is a table of scores (columns score and same, perhaps fold, person_a and person_b), or embeddings: .npz with
    embeddings, names and perhaps people; .npy; Parquet; or a folder of rim-embed. An embedder .onnx and a model of RIM
    (a model folder, a checkpoint, or rim_128 for the model of the package) are run over --store. PROBES are embeddings
    of the probes, if a system reads them in another way than the gallery. Several systems are compared on the same
    pairs with the first.

    \b
    Examples:
      rim measure scores.csv
      rim measure ours=a.csv theirs=b.csv --out measured --plot
      rim measure mine.npy --pairs calfw.bin
      rim measure ours=sharp.npz,probes.npz theirs=other.npz --pairs pairs_LFW.csv
      rim measure mine.npz --templates ijbc_face_tid_mid.txt --pairs ijbc_template_pair_label.txt
      rim measure mine.onnx rim_128 --store prepared/lfw_128 --pairs lfw/pairs.txt --probe-size 16
      rim measure rim_128 my_model --store prepared/lfw_128 --pairs pairs.csv --probe-size 16 --degradation camera
    """
    from rim_lightning.evaluation.yardstick import measure_system, system_difference

    named = named_systems(systems)
    _check_output(named, out, plot, overwrite)
    check_store_options(named, embedder)
    if calibrations and len(calibrations) != len(named):
        raise click.UsageError(f"{len(calibrations)} --calibration for {len(named)} systems: give one for each.")
    source = open_source(named, pairs, templates, pictures, embedder)
    judged, searches = judge_systems(named, source)
    fitted: Sequence[JudgedPairs | None] = _calibrations(calibrations) or [None for _ in named]
    measured = {
        system.name: measure_system(judged[system.name], searches[system.name], calibration)
        for system, calibration in zip(named, fitted, strict=True)
    }
    first = named[0].name
    differences = {system.name: system_difference(measured[system.name], measured[first]) for system in named[1:]}
    figures = {name: of_system.figures for name, of_system in measured.items()}
    facts = _facts(judged[first], calibrated=bool(calibrations)) | facts_of_store(named, source)
    lines = _markdown(figures, differences, first, facts)
    if out is not None:
        _write(out, figures, differences, first, facts, lines)
        if plot:
            _plot(out, judged, measured)
    if as_json:
        echo_json(_content(figures, differences, first, facts))
        return
    for line in lines:
        say(line)
    if out is not None:
        say(f"Figures: {out}")


def _check_output(systems: Sequence[NamedSystem], out: Path | None, plot: bool, overwrite: bool) -> None:
    import os

    from rim_lightning.commands.rim.new_file import check_new_file
    from rim_lightning.extras import require_extra
    from rim_lightning.files import check_writable

    if out is None:
        if plot or overwrite:
            raise click.UsageError("--plot and --overwrite need a folder to write: --out FOLDER.")
        return
    if plot:
        require_extra("page", "--plot")
    sources = {os.path.realpath(file) for system in systems for file in system.files}
    for name in (*FIGURES, *(PLOTS if plot else ())):
        check_new_file(out / name, sources, overwrite)
        check_writable(out / name, "--out")


def _calibrations(files: Sequence[Path]) -> list[JudgedPairs]:
    from rim_lightning.evaluation.judged_pairs import read_scores

    return [read_scores(file) for file in files]


def _facts(pairs: JudgedPairs, calibrated: bool) -> dict[str, Any]:
    """Return what is measured and how."""
    return {
        "pairs": len(pairs.same),
        "genuine_pairs": int(pairs.same.sum()),
        "folds": 0 if pairs.fold is None else len(pairs.fold.unique()),
        "people": len(pairs.people),
        "intervals": "people" if pairs.first is not None else "pairs",
        "ratios": "calibration" if calibrated else "none" if pairs.fold is None else "other folds",
    }


def _sentences(facts: Mapping[str, Any]) -> list[str]:
    from rim_lightning.evaluation.yardstick import RESAMPLES

    folds = f"in {facts['folds']} folds; accuracy by the threshold of the other folds" if facts["folds"] else "no folds"
    ratios = {
        "calibration": "Likelihood ratios are fitted to the pairs of --calibration.",
        "other folds": "Likelihood ratios of a fold are fitted to the other folds.",
        "none": "No likelihood ratios: they need folds or --calibration.",
    }
    return [
        f"{facts['pairs']} pairs, {facts['genuine_pairs']} of one person, {folds}.",
        f"Intervals of 95 % over other {facts['intervals']} ({RESAMPLES} resamples); that of the accuracy over pairs. "
        "A TAR is given only where 10 or more impostor pairs decide.",
        ratios[facts["ratios"]],
        *sentences_of_store(facts),
    ]


def _markdown(
    figures: Mapping[str, Mapping[str, Figure]],
    differences: Mapping[str, Mapping[str, Figure]],
    first: str,
    facts: Mapping[str, Any],
) -> list[str]:
    from rim_lightning.evaluation.yardstick import figure_rows

    lines = [*(f"- {sentence}" for sentence in _sentences(facts)), "", *_table(figure_rows(figures))]
    if differences:
        lines += ["", f"Minus {first}, on the same pairs:", "", *_table(figure_rows(differences))]
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return [head, "|---" * len(rows[0]) + "|", *body]


def _content(
    figures: Mapping[str, Mapping[str, Figure]],
    differences: Mapping[str, Mapping[str, Figure]],
    first: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the figures as plain containers."""
    tables = {"systems": figures, f"minus_{first}": differences}
    plain = {
        title: {system: {name: figure._asdict() for name, figure in row.items()} for system, row in table.items()}
        for title, table in tables.items()
        if table
    }
    return {**facts, **plain}


def _write(
    out: Path,
    figures: Mapping[str, Mapping[str, Figure]],
    differences: Mapping[str, Mapping[str, Figure]],
    first: str,
    facts: Mapping[str, Any],
    lines: Sequence[str],
) -> None:
    from rim_lightning.files import finite, printable, write_json, write_text

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "figures.json", finite(_content(figures, differences, first, facts)))
    write_text(out / "figures.md", "\n".join(map(printable, lines)) + "\n")
    rows = [
        {"system": system, "minus": other, "figure": name, **figure._asdict()}
        for other, table in (("", figures), (first, differences))
        for system, row in table.items()
        for name, figure in row.items()
    ]
    write_answers(out / "figures.csv", COLUMNS, rows)


def _plot(out: Path, judged: Mapping[str, JudgedPairs], measured: Mapping[str, MeasuredSystem]) -> None:
    import math

    from rim_lightning.evaluation.ratio_plots import RatedPairs, plot_ratios
    from rim_lightning.evaluation.yardstick_plots import plot_roc_and_det
    from rim_lightning.functional.likelihood_ratio import BoundedRatio

    plot_roc_and_det(out / PLOTS[0], judged)
    as_it_is = BoundedRatio(0.0, 1.0, math.inf)
    curves = {
        name: RatedPairs(system.log10_ratios, judged[name].same.numpy(), as_it_is)
        for name, system in measured.items()
        if system.log10_ratios is not None
    }
    if curves:
        plot_ratios(out / PLOTS[1], curves, "Likelihood ratios")
