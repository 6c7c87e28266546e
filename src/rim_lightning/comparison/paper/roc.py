"""rim_lightning.comparison.paper.roc."""

from pathlib import Path

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.plots import _curves, _legend, _save
from rim_lightning.comparison.paper.rows import TABLE_1, TABLE_3
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.verification import roc_curve

WORST_FAR = 10  # impostor pairs that a point of an ROC needs


def plot_roc(path: Path, laboratory: Laboratory, pairs: PairSet) -> list[str]:
    """ROC curves, FAR on a logarithmic axis that ends where 10 impostor pairs decide, and DET curves up to a FAR of one
    half, without the points at which nobody is refused; returns as above.
    """
    readings: dict[Reading, str] = {}
    for row in (*TABLE_3, *TABLE_1):
        if not row.reading.sharp:
            readings.setdefault(row.reading, row.label)
    figure, (left, right) = _curves(2)
    least = WORST_FAR / int((~pairs.same).sum())
    missing = []
    for reading, label in readings.items():
        try:
            (score,) = laboratory.scores(reading, pairs, laboratory.lr_size, seeds=1)
        except (NotTrained, ValueError, OSError):
            missing.append(label)
            continue
        far, tar, _ = roc_curve(score, pairs.same)
        shown = far >= least
        left.plot(far[shown], tar[shown], label=label, linewidth=1.2)
        shown &= (far <= 0.5) & (tar < 1)
        right.plot(far[shown], 1 - tar[shown], linewidth=1.2)
    for axis, name in ((left, "TAR"), (right, "FRR")):
        axis.set_xscale("log")
        axis.set_xlabel("FAR")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3, which="both")
    right.set_yscale("log")
    _legend(figure)
    figure.suptitle(
        f"{pairs.title}, {len(pairs.same)} pairs, probes of {laboratory.lr_size} px, first seeds", fontsize=9
    )
    _save(figure, path)
    return missing
