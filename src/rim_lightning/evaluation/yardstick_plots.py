"""ROC and DET curves of any systems, beside each other."""

from collections.abc import Mapping
from pathlib import Path

from rim_lightning.evaluation.judged_pairs import JudgedPairs
from rim_lightning.functional.verification import roc_curve
from rim_lightning.plotting import plain_label, pyplot, save_figure

FEWEST_IMPOSTORS = 10
"""Number of accepted impostor pairs below which a point of a curve is not shown."""


def plot_roc_and_det(path: Path, systems: Mapping[str, JudgedPairs]) -> None:
    """Plot TAR and false reject rate over the FAR, which ends where 10 impostor pairs decide.

    Args:
        path: File of the picture. Its ending is the format.
        systems: Name -> the pairs of a system.
    """
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(11, 5), layout="constrained")
    for name, pairs in systems.items():
        far, tar, _ = roc_curve(pairs.scores, pairs.same)
        measurable = far >= FEWEST_IMPOSTORS / int((~pairs.same).sum())
        left.plot(far[measurable], tar[measurable], label=plain_label(name))
        plotted = measurable & (far <= 0.5) & (tar < 1)
        right.plot(far[plotted], 1 - tar[plotted], label=plain_label(name))
    for axis, title in ((left, "TAR"), (right, "false reject rate")):
        axis.set(xscale="log", xlabel="FAR", ylabel=title)
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    right.set_yscale("log")
    save_figure(figure, path)
