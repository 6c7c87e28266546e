"""`rim measure`: figures of any system from its scores or embeddings, by the protocols and intervals of rim-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rim_lightning.commands.rim.answer_table import Command, overwrite_option, write_answers
from rim_lightning.commands.rim.options import EXIT_CODES, Place, json_option
from rim_lightning.commands.rim.output import echo_json, say

if TYPE_CHECKING:
    from torch import Tensor

    from rim_lightning.data.pairs import Pair
    from rim_lightning.evaluation.embedding_files import EmbeddedFaces
    from rim_lightning.evaluation.judged_pairs import JudgedPairs
    from rim_lightning.evaluation.yardstick import Figure, MeasuredSystem

FIGURES = ("figures.csv", "figures.json", "figures.md")
PLOTS = ("roc_det.png", "ratios.png")
SCALE = click.FloatRange(0, min_open=True)
COLUMNS = ("system", "minus", "figure", "value", "low", "high")


class Embedding(NamedTuple):
    """How ONNX files embed faces.

    Attributes:
        store: Prepared store; None if there are no ONNX files.
        probe_size: Side of the probes of that store in pixels; None for sharp ones.
        bgr: True if the files take blue, green, red.
        mean: They take (level - mean) / scale.
        scale: See `mean`.
    """

    store: Path | None
    probe_size: int | None
    bgr: bool
    mean: float
    scale: float


class NamedSystem(NamedTuple):
    """A system as the command line names it.

    Attributes:
        name: Name for people.
        files: One file of scores or embeddings, or one of gallery and one of probe embeddings.
    """

    name: str
    files: tuple[Path, ...]


class PairSource(NamedTuple):
    """What says which pairs are measured.

    Attributes:
        pairs: List of pairs for embeddings; None compares all pictures.
        templates: List of the pictures of each template; None compares single pictures.
        pictures: Table that names the rows of `.npy` files.
        listed: The pairs of the list.
        embedder: What ONNX files embed.
    """

    pairs: Path | None
    templates: Path | None
    pictures: Path | None
    listed: Sequence[Pair]
    embedder: Embedding


def embedder_options(command: Command) -> Command:
    """Add the options of ONNX files to a command, which gets them as one `Embedding`."""

    @wraps(command)
    def with_embedder(
        *, store: Path | None, probe_size: int | None, bgr: bool, mean: float, scale: float, **values: Any
    ) -> Any:
        return command(embedder=Embedding(store, probe_size, bgr, mean, scale), **values)

    with_options: Any = with_embedder
    for option in reversed(
        (
            click.option("--store", type=Place(), help="Prepared store, which an .onnx file embeds."),
            click.option("--probe-size", type=click.IntRange(7), help="Side of its probes in pixels, as in rim-eval."),
            click.option("--bgr", is_flag=True, help="The .onnx file takes blue, green, red."),
            click.option("--mean", default=127.5, show_default=True, help="It takes (level - mean) / scale."),
            click.option("--scale", type=SCALE, default=127.5, show_default=True, help="See --mean."),
        )
    ):
        with_options = option(with_options)
    return with_options


@click.command(epilog=EXIT_CODES)
@click.argument("systems", metavar="[NAME=]FILE[,PROBES]...", nargs=-1, required=True)
@click.option("--pairs", type=Place(), help="List of pairs for embeddings: CSV, LFW's pairs.txt, or a pack of pairs.")
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
    embeddings, names and perhaps people; .npy; Parquet; a folder of rim-embed; or an embedder .onnx, which is run over
    --store. PROBES are embeddings of the probes, if a system reads them in another way than the gallery. Several
    systems are compared on the same pairs with the first.

    \b
    Examples:
      rim measure scores.csv
      rim measure ours=a.csv theirs=b.csv --out measured --plot
      rim measure mine.npz --pairs lfw/pairs.txt
      rim measure mine.npy --pairs calfw.bin
      rim measure ours=sharp.npz,probes.npz theirs=other.npz --pairs pairs_LFW.csv
      rim measure mine.npz --templates ijbc_face_tid_mid.txt --pairs ijbc_template_pair_label.txt
      rim measure mine.onnx --store prepared/lfw_112 --pairs lfw/pairs.txt --probe-size 16
    """
    from rim_lightning.evaluation.yardstick import measure_system, system_difference

    named = _named_systems(systems)
    _check_output(named, out, plot, overwrite)
    _check_embedder(named, embedder)
    if calibrations and len(calibrations) != len(named):
        raise click.UsageError(f"{len(calibrations)} --calibration for {len(named)} systems: give one for each.")
    source = PairSource(pairs, templates, pictures, _listed(pairs, templates), embedder)
    judged, searches = _judged(named, source)
    fitted: Sequence[JudgedPairs | None] = _calibrations(calibrations) or [None for _ in named]
    measured = {
        system.name: measure_system(judged[system.name], searches[system.name], calibration)
        for system, calibration in zip(named, fitted, strict=True)
    }
    first = named[0].name
    differences = {system.name: system_difference(measured[system.name], measured[first]) for system in named[1:]}
    figures = {name: of_system.figures for name, of_system in measured.items()}
    facts = _facts(judged[first], calibrated=bool(calibrations))
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


def _listed(pairs: Path | None, templates: Path | None) -> Sequence[Pair]:
    """Read the list of pairs of pictures, if there is one."""
    from rim_lightning.evaluation.judged_pairs import read_pair_list

    if templates is not None and pairs is None:
        raise click.UsageError("--templates needs the pairs of templates: --pairs, '<template> <template> <label>'.")
    return [] if pairs is None or templates is not None else read_pair_list(pairs)


def _named_systems(texts: Sequence[str]) -> list[NamedSystem]:
    """Read the arguments. A file whose name holds = or , is taken as it is."""
    systems = []
    for text in texts:
        name, equals, place = text.partition("=")
        if Path(text).exists() or not equals:
            name, place = "", text
        files = (Path(place),) if Path(place).exists() else tuple(Path(part) for part in place.split(","))
        if len(files) > 2 or not all(str(file).strip() and file.name for file in files):
            raise click.UsageError(f"'{text}' names no file, or more than two: give NAME=FILE or NAME=FILE,PROBES.")
        systems.append(NamedSystem(name or files[0].stem, files))
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise click.UsageError(f"Two systems are called {max(names, key=names.count)}: name them, NAME=FILE.")
    return systems


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


def _judged(
    systems: Sequence[NamedSystem], source: PairSource
) -> tuple[dict[str, JudgedPairs], dict[str, tuple[Tensor, Tensor, Tensor] | None]]:
    """Read the scores of each system; and those of a search, where all pictures of known people are compared."""
    judged: dict[str, JudgedPairs] = {}
    searches: dict[str, tuple[Tensor, Tensor, Tensor] | None] = {}
    for system in systems:
        judged[system.name], searches[system.name] = _scores_of(system, source)
        first = systems[0].name
        if fault := judged[system.name].differs_from(judged[first]):
            raise ValueError(
                f"{system.files[0]} has {fault} of {systems[0].files[0]}: systems are compared on the same pairs in "
                "the same order."
            )
    return judged, searches


def _scores_of(system: NamedSystem, source: PairSource) -> tuple[JudgedPairs, tuple[Tensor, Tensor, Tensor] | None]:
    from rim_lightning.evaluation.judged_pairs import judge_everybody, judge_pairs, read_scores, search_scores
    from rim_lightning.evaluation.template_pairs import judge_template_pairs, pool_templates

    if system.files[0].suffix.lower() in (".csv", ".tsv", ".txt"):
        if len(system.files) > 1 or any((source.pairs, source.templates, source.pictures)):
            raise click.UsageError(
                f"{system.files[0]} has scores already: leave PROBES, --pairs, --templates and --pictures out."
            )
        return read_scores(system.files[0]), None
    gallery, probe = _sides(system, source)
    if gallery.embeddings.shape[1] != probe.embeddings.shape[1]:
        raise ValueError(
            f"{system.files[0]} has embeddings of {gallery.embeddings.shape[1]} numbers, {system.files[1]} of "
            f"{probe.embeddings.shape[1]}: they are not of one system."
        )
    where = " and ".join(map(str, system.files))
    if source.pairs is not None and source.templates is not None:
        gallery, probe = (pool_templates(faces, source.templates) for faces in (gallery, probe))
        return judge_template_pairs(gallery, probe, source.pairs), None
    if source.pairs is not None:
        return judge_pairs(gallery, probe, source.listed, str(source.pairs)), None
    return judge_everybody(gallery, probe, where), search_scores(gallery, probe)


def _sides(system: NamedSystem, source: PairSource) -> tuple[EmbeddedFaces, EmbeddedFaces]:
    """Read or compute the embeddings of gallery and probes. They are one object if they do not differ."""
    from rim_lightning.evaluation.embedding_files import read_embeddings
    from rim_lightning.evaluation.onnx_embeddings import NetworkInput, embed_store

    chosen = source.embedder
    wanted = NetworkInput(chosen.bgr, chosen.mean, chosen.scale)

    def read(file: Path, probe_size: int | None) -> EmbeddedFaces:
        if chosen.store is None or not _is_onnx(file):
            return read_embeddings(file, source.pictures)
        return embed_store(file, chosen.store, wanted, probe_size)

    gallery, last = read(system.files[0], None), system.files[-1]
    if len(system.files) == 1 and (chosen.probe_size is None or not _is_onnx(last)):
        return gallery, gallery
    return gallery, read(last, chosen.probe_size)


def _is_onnx(file: Path) -> bool:
    return file.suffix.lower() == ".onnx"


def _check_embedder(systems: Sequence[NamedSystem], embedder: Embedding) -> None:
    """Raise UsageError if ONNX files and their options do not go together."""
    models = [file for system in systems for file in system.files if _is_onnx(file)]
    if models and embedder.store is None:
        raise click.UsageError(f"{models[0]} needs faces to embed: --store, a folder of rim-prepare.")
    if not models and embedder.store is not None:
        raise click.UsageError("--store is embedded by an .onnx file, and none is given.")
    if embedder.store is None and embedder.probe_size is not None:
        raise click.UsageError("--probe-size needs --store: embeddings in files are of probes already.")


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
