"""Resolution sweep, as a table and as a figure: accuracy over the size of the probe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import FIRST_SEED, attempt, pair_notes, rows_with_progress
from rim_lightning.comparison.paper.plots import common_legend, curve_panels
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.seeded_probes import ProbeKind
from rim_lightning.functional.verification import kfold_accuracy, threshold_at_far
from rim_lightning.plotting import save_figure


def make_sweep_table(comparison: Comparison) -> Table:
    """Make the table of the sweep on the detailed set, with thresholds of the calibration set."""
    pairs, people = comparison.detailed, comparison.calibration
    settings = comparison.settings["sweep"]
    kinds = probe_kinds(settings)
    table = sweep_table(comparison.laboratory, pairs, people, settings["sizes"], kinds, settings["far"])
    return table._replace(notes=[FIRST_SEED, *pair_notes(pairs, people)])


def probe_kinds(settings: Mapping[str, Any]) -> dict[ProbeKind, Sequence[int]]:
    """Return the ways of making probes that `sweep` of the protocol names, with the sizes measured with them."""
    return {
        ProbeKind(degradation, misalignment): sizes
        for misalignment, ways in ((None, settings["degradations"]), ("detector", settings["misaligned"]))
        for degradation, sizes in ways.items()
    }


def sweep_table(
    laboratory: Laboratory,
    pairs: PairSet,
    people: PairSet,
    sizes: Sequence[int],
    kinds: Mapping[ProbeKind, Sequence[int]],
    far: float,
) -> Table:
    """Measure the first seed at several sizes of the probe, made small in several ways.

    Each size has three figures: the accuracy, and the FAR and the TAR at one threshold. That threshold is chosen for
    `far` on `people`.

    Args:
        laboratory: Measures the systems.
        pairs: Pairs that are reported.
        people: Pairs on which the thresholds are chosen.
        sizes: Sides of the probe in pixels, one column each.
        kinds: Way of making the probe -> sizes that are measured with it, in pixels.
        far: False accept rate for which the thresholds are chosen.
    """
    columns = ["system", "probe made by", "figure", *(f"{size} px" for size in sizes)]
    figures = ("accuracy", f"FAR at the threshold for {far:g}", "TAR at that threshold")
    lines = []
    for label, reading in rows_with_progress(SWEEP):
        for kind, sizes_of_kind in kinds.items():
            cells = []  # one list of three figures per size
            for size in sizes:
                result: list[str] | str = ""
                if size in sizes_of_kind:
                    result = attempt(_calibrated, laboratory, reading, pairs, people, size, kind, far)
                cells.append([result] * len(figures) if isinstance(result, str) else result)
            for figure, row in zip(figures, zip(*cells, strict=True), strict=True):
                lines.append([label, kind.in_words(), figure, *row])
    return Table("Resolution sweep", columns, lines)


def _calibrated(
    laboratory: Laboratory, reading: Reading, pairs: PairSet, people: PairSet, size: int, kind: ProbeKind, far: float
) -> list[str]:
    """Return accuracy, and FAR and TAR at the threshold of the other people."""
    (people_scores,) = laboratory.scores(reading, people, size, kind, seeds=1)
    (scores,) = laboratory.scores(reading, pairs, size, kind, seeds=1)
    threshold = threshold_at_far(people_scores, people.same, far)
    accepted = (scores >= threshold).double()
    accuracy, _, _ = kfold_accuracy(scores, pairs.same, pairs.fold)
    return [f"{accuracy:.4f}", f"{accepted[~pairs.same].mean():.4f}", f"{accepted[pairs.same].mean():.3f}"]


def plot_sweep_figure(path: Path, comparison: Comparison) -> dict[str, str]:
    """Plot the sweep on the detailed set, see `plot_sweep`."""
    kinds = probe_kinds(comparison.settings["sweep"])
    return plot_sweep(path, comparison.laboratory, comparison.detailed, kinds)


def plot_sweep(
    path: Path, laboratory: Laboratory, pairs: PairSet, kinds: Mapping[ProbeKind, Sequence[int]]
) -> dict[str, str]:
    """Plot the accuracy of the first seed over the size of the probe, one panel for each way of making it.

    Args:
        path: File of the picture.
        laboratory: Measures the systems.
        pairs: The pairs.
        kinds: Way of making the probe -> sizes that are measured with it, in pixels.

    Returns:
        System that is left out -> reason.
    """
    figure, axes = curve_panels(len(kinds), sharey=True)
    missing: dict[str, str] = {}
    for axis, (kind, sizes) in zip(axes, kinds.items(), strict=True):
        for number, (label, reading) in enumerate(SWEEP):
            figures = attempt(_figures_of_sizes, laboratory, reading, pairs, sizes, kind)
            if isinstance(figures, str):
                missing[label] = figures
            else:
                _plot_accuracy(axis, sizes, figures, label, f"C{number}")
        axis.set_xscale("log")
        axis.set_xticks(sizes, labels=[str(size) for size in sizes])
        axis.set_xticks([], minor=True)
        axis.set_title(f"probe made by {kind.in_words()}", fontsize=9)
        axis.set_xlabel("side of the probe, pixels")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"accuracy, {pairs.title}")
    common_legend(figure)
    save_figure(figure, path)
    return missing


def _figures_of_sizes(
    laboratory: Laboratory, reading: Reading, pairs: PairSet, sizes: Sequence[int], kind: ProbeKind
) -> list[dict[str, float]]:
    return [laboratory.verify(reading, pairs, size, kind, seeds=1).figures for size in sizes]


def _plot_accuracy(
    axis: Any, sizes: Sequence[int], figures: Sequence[Mapping[str, float]], label: str, color: str
) -> None:
    """Plot one curve with its intervals."""
    accuracy = [of_size["accuracy"] for of_size in figures]
    below = [of_size["accuracy"] - of_size["accuracy_low"] for of_size in figures]
    above = [of_size["accuracy_high"] - of_size["accuracy"] for of_size in figures]
    style = {"fmt": "o-", "linewidth": 1.2, "markersize": 3, "capsize": 2}
    axis.errorbar(sizes, accuracy, [below, above], color=color, label=label, **style)
