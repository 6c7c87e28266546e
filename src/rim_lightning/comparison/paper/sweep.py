"""rim_lightning.comparison.paper.sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import Progress, _attempt
from rim_lightning.comparison.paper.plots import _curves, _legend, _save
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.verification import kfold_accuracy, threshold_at_far


def plot_sweep(
    path: Path,
    laboratory: Laboratory,
    pairs: PairSet,
    degradations: Mapping[str, Sequence[int]],
) -> list[str]:
    """Accuracy of the first seed over the size of the probe, a panel for each way of making it, at the sizes given for
    it; returns as above.
    """
    figure, axes = _curves(len(degradations), sharey=True)
    missing = []
    for axis, (degradation, measured) in zip(axes, degradations.items(), strict=True):
        for number, (label, reading) in enumerate(SWEEP):
            try:
                found = [laboratory.verify(reading, pairs, size, degradation, seeds=1).figures for size in measured]
            except (NotTrained, ValueError, OSError):
                missing.append(label)
                continue
            accuracy = [each["accuracy"] for each in found]
            errors = [
                [each["accuracy"] - each["accuracy_low"] for each in found],
                [each["accuracy_high"] - each["accuracy"] for each in found],
            ]
            axis.errorbar(
                measured,
                accuracy,
                errors,
                fmt="o-",
                color=f"C{number}",
                label=label,
                linewidth=1.2,
                markersize=3,
                capsize=2,
            )
        axis.set_xscale("log")
        axis.set_xticks(measured, labels=[str(size) for size in measured])
        axis.set_xticks([], minor=True)
        axis.set_title(f"probe made by {degradation}", fontsize=9)
        axis.set_xlabel("side of the probe, pixels")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"accuracy, {pairs.title}")
    _legend(figure)
    _save(figure, path)
    return list(dict.fromkeys(missing))


def sweep_table(
    laboratory: Laboratory,
    pairs: PairSet,
    people: PairSet,
    sizes: Sequence[int],
    degradations: Mapping[str, Sequence[int]],
    far: float,
    progress: Progress,
) -> Table:
    """Accuracy of the first seed over the size of the probe, for several ways of making it small; and what a threshold
    that was chosen for each size at a FAR on other people does here.

    Args:
        pairs: that are reported. people: that the thresholds are chosen on. sizes: of the columns, pixels.
        degradations: name -> the sizes it is measured at. far: that the thresholds are chosen for.
    """
    columns = ["system", "probe made by", "figure", *(f"{size} px" for size in sizes)]
    lines = []
    for label, reading in progress(SWEEP):
        for degradation, measured in degradations.items():
            cells: dict[str, list[str]] = {"accuracy": [], "FAR": [], "TAR": []}
            for size in sizes:
                found = (
                    [""] * 3
                    if size not in measured
                    else _attempt(_calibrated, laboratory, reading, pairs, people, size, degradation, far)
                )
                for name, cell in zip(cells, [found] * 3 if isinstance(found, str) else found, strict=True):
                    cells[name].append(cell)
            lines.append([label, degradation, "accuracy", *cells["accuracy"]])
            lines.append([label, degradation, f"FAR at the threshold for {far:g}", *cells["FAR"]])
            lines.append([label, degradation, "TAR at that threshold", *cells["TAR"]])
    return Table("Resolution sweep", columns, lines)


def _calibrated(
    laboratory: Laboratory, reading: Reading, pairs: PairSet, people: PairSet, size: int, degradation: str, far: float
) -> list[str]:
    """Accuracy, and FAR and TAR at the threshold of the other people."""
    (own,) = laboratory.scores(reading, people, size, degradation, seeds=1)
    (score,) = laboratory.scores(reading, pairs, size, degradation, seeds=1)
    threshold = threshold_at_far(own, people.same, far)
    accepted = (score >= threshold).double()
    accuracy, _, _ = kfold_accuracy(score, pairs.same, pairs.fold)
    return [f"{accuracy:.4f}", f"{accepted[~pairs.same].mean():.4f}", f"{accepted[pairs.same].mean():.3f}"]
