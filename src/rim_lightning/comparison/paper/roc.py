"""ROC and DET curves of recognition."""

from pathlib import Path

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import attempt
from rim_lightning.comparison.paper.plots import common_legend, curve_panels
from rim_lightning.comparison.paper.rows import TABLE_1, TABLE_3
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.verification import roc_curve
from rim_lightning.plotting import save_figure

FEWEST_IMPOSTORS = 10
"""Number of accepted impostor pairs below which a point of the ROC is not shown."""


def plot_roc_figure(path: Path, comparison: Comparison) -> dict[str, str]:
    """Plot the ROC on the detailed set, see `plot_roc`."""
    return plot_roc(path, comparison.laboratory, comparison.detailed)


def plot_roc(path: Path, laboratory: Laboratory, pairs: PairSet) -> dict[str, str]:
    """Plot ROC curves and DET curves of the first seeds.

    The FAR is on a logarithmic axis that ends where 10 impostor pairs decide. DET curves go up to a FAR of one half and
    leave out the points at which nobody is refused.

    Args:
        path: File of the picture.
        laboratory: Measures the systems.
        pairs: The pairs.

    Returns:
        System that is left out -> reason.
    """
    labels: dict[Reading, str] = {}
    for row in (*TABLE_3, *TABLE_1):
        if not row.reading.sharp:
            labels.setdefault(row.reading, row.label)
    figure, (left, right) = curve_panels(2)
    smallest_far = FEWEST_IMPOSTORS / int((~pairs.same).sum())
    missing: dict[str, str] = {}
    for reading, label in labels.items():
        scores = attempt(laboratory.scores, reading, pairs, laboratory.lr_size, seeds=1)
        if isinstance(scores, str):
            missing[label] = scores
            continue
        far, tar, _ = roc_curve(scores[0], pairs.same)
        measurable = far >= smallest_far
        left.plot(far[measurable], tar[measurable], label=label, linewidth=1.2)
        plotted = measurable & (far <= 0.5) & (tar < 1)
        right.plot(far[plotted], 1 - tar[plotted], linewidth=1.2)
    for axis, name in ((left, "TAR"), (right, "FRR")):
        axis.set_xscale("log")
        axis.set_xlabel("FAR")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3, which="both")
    right.set_yscale("log")
    common_legend(figure)
    figure.suptitle(
        f"{pairs.title}, {len(pairs.same)} pairs, probes of {laboratory.lr_size} px, first seeds", fontsize=9
    )
    save_figure(figure, path)
    return missing
