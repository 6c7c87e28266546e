"""rim_lightning.comparison.paper.ablation."""

from collections.abc import Sequence

import torch

from rim_lightning.comparison.laboratory.laboratory import CrossTar, Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import COST, Progress, _accuracy, _ahead, _attempt, _cost_cells, _doubt
from rim_lightning.comparison.paper.rows import RIM, Row
from rim_lightning.comparison.paper.write import Table
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import percentile_interval, seeds_resampled


def ablation_table(
    title: str, rows: Sequence[Row], laboratory: Laboratory, pairs: PairSet, hr_size: int, progress: Progress
) -> Table:
    """Tables 1 and 3: every row in detail on one set of pairs.

    "RIM ahead by" is RIM's accuracy minus the row's with its 95 % paired bootstrap over pairs; over all pairs it is the
    difference of the TAR, bootstrapped over people.
    """
    columns = [
        "system",
        "HR-HR",
        "HR-LR (95 %)",
        "std over folds",
        "RIM ahead by",
        "TAR@FAR 1e-2",
        "all pairs: TAR@FAR 1e-3 (95 %)",
        "all pairs: RIM ahead by",
        "EER",
        "AUC",
    ]
    columns += [*COST, "quoted HR-HR", "quoted HR-LR"]
    reference = _attempt(laboratory.verify, RIM, pairs, laboratory.lr_size)
    reference_cross = _attempt(laboratory.cross_tar, RIM, pairs, 1e-3)
    lines = []
    for row in progress(rows):
        quoted = [row.quoted.get(side, "") for side in ("HR-HR", "HR-LR")]
        sharp = _attempt(laboratory.verify, _sharp(row.reading), pairs, laboratory.lr_size)
        found = sharp if row.reading.sharp else _attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
        if isinstance(found, str):
            lines.append([row.label, "", found, *[""] * (7 + len(COST)), *quoted])
            continue
        f = found.figures
        rate = f.get("tar_at_far_1e-2")
        cells = ["" if row.reading.sharp else _accuracy(f), f"{f['accuracy_std']:.4f}"]
        cells.append("" if row.reading == RIM or row.reading.sharp else _ahead(reference, found))
        cells.append("not measurable" if rate is None else f"{rate:.3f}")
        cross = _attempt(laboratory.cross_tar, row.reading, pairs, 1e-3)
        cells += _cross_cells(cross, None if row.reading == RIM or row.reading.sharp else reference_cross)
        cells += [f"{f['eer']:.4f}", f"{f['auc']:.4f}"]
        cost = [""] * len(COST) if row.reading.sharp else _cost_cells(laboratory, *_path(row.reading), hr_size)
        lines.append([row.label, f"{sharp.figures['accuracy']:.4f}", *cells, *cost, *quoted])
    return Table(title, columns, lines)


def _sharp(reading: Reading) -> Reading:
    """Sharp against sharp, both read by what reads the gallery."""
    owner = reading.gallery_of or reading.system
    return Reading(owner, probe="gallery", sharp=True)


def _path(reading: Reading) -> tuple[str, str]:
    """System and part whose inference a probe costs."""
    return reading.system, reading.probe


def _cross_cells(found: CrossTar | str | None, reference: CrossTar | str | None) -> list[str]:
    if not isinstance(found, CrossTar):
        return [found or "not measurable", ""]
    own = seeds_resampled(found.resampled, torch.Generator().manual_seed(0))
    low, high = percentile_interval(own)
    cells = [f"{found.rates.mean():.3f} ({low:.3f} … {high:.3f})", ""]
    if isinstance(reference, CrossTar):
        other = seeds_resampled(reference.resampled, torch.Generator().manual_seed(0))
        low, high = percentile_interval(other - own)
        mean = reference.rates.mean() - found.rates.mean()
        cells[1] = f"{mean:+.3f} ({low:+.3f} … {high:+.3f})" + _doubt(low, high)
    return cells
