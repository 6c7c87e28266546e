"""Table 1 (parts of RIM) and table 3 (recognition from one start): every row in detail on one set of pairs."""

from collections.abc import Sequence

from rim_lightning.comparison.laboratory.laboratory import Laboratory, Verified
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import (
    COST_COLUMNS,
    accuracy_cell,
    ahead_cell,
    attempt,
    cost_cells,
    difference_cell,
    pair_notes,
    rate_cell,
    rows_with_progress,
)
from rim_lightning.comparison.paper.rows import RIM, TABLE_1, TABLE_3, Row
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import SeedFigures

ALL_PAIRS_FAR = 1e-3
SHARP = "HR-HR: both sides sharp, read by the gallery's network (the teacher in every row with one)."
COLUMNS = (
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
    *COST_COLUMNS,
    "quoted HR-HR",
    "quoted HR-LR",
)


def make_table_1(comparison: Comparison) -> Table:
    """Make table 1: what each part of RIM contributes."""
    return _make("Table 1: parts of RIM", TABLE_1, comparison)


def make_table_3(comparison: Comparison) -> Table:
    """Make table 3: RIM beside other ways of recognizing, all from the teacher's weights."""
    return _make("Table 3: recognition from one start", TABLE_3, comparison)


def _make(title: str, rows: Sequence[Row], comparison: Comparison) -> Table:
    pairs = comparison.detailed
    cells = ablation_rows(rows, comparison.laboratory, pairs, comparison.hr_size)
    return Table(title, list(COLUMNS), cells, [SHARP, *pair_notes(pairs)])


def ablation_rows(rows: Sequence[Row], laboratory: Laboratory, pairs: PairSet, hr_size: int) -> list[list[str]]:
    """Return the cells of `COLUMNS` for every row.

    "RIM ahead by" is RIM's accuracy minus that of the row, with its 95 % paired bootstrap over pairs. Over all pairs it
    is the difference of the TAR, bootstrapped over people.

    Args:
        rows: Systems that embed the two sides of the pairs.
        laboratory: Measures them.
        pairs: The pairs.
        hr_size: Side of the sharp faces in pixels.
    """
    rim = attempt(laboratory.verify, RIM, pairs, laboratory.lr_size)
    rim_all_pairs = attempt(laboratory.all_pairs_tar, RIM, pairs, ALL_PAIRS_FAR)
    lines = []
    for row in rows_with_progress(rows):
        quoted = [row.quoted.get(side, "") for side in ("HR-HR", "HR-LR")]
        sharp = attempt(laboratory.verify, sharp_reading(row.reading), pairs, laboratory.lr_size)
        low = sharp if row.reading.sharp else attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
        if isinstance(low, str) or isinstance(sharp, str):
            reason = low if isinstance(low, str) else sharp
            lines.append([row.label, "", str(reason), *[""] * (7 + len(COST_COLUMNS)), *quoted])
            continue
        all_pairs = attempt(laboratory.all_pairs_tar, row.reading, pairs, ALL_PAIRS_FAR)
        is_reference = row.reading == RIM or row.reading.sharp
        cells = _figure_cells(row.reading, low, "" if is_reference else rim)
        cells += all_pairs_cells(all_pairs, None if is_reference else rim_all_pairs)
        cells += [f"{low.figures['eer']:.4f}", f"{low.figures['auc']:.4f}"]
        cost = [""] * len(COST_COLUMNS)
        if not row.reading.sharp:
            cost = cost_cells(laboratory, row.reading.system, row.reading.probe, hr_size)
        lines.append([row.label, f"{sharp.figures['accuracy']:.4f}", *cells, *cost, *quoted])
    return lines


def sharp_reading(reading: Reading) -> Reading:
    """Return the reading of sharp against sharp faces: the gallery's network reads both sides."""
    return Reading(reading.gallery_of or reading.system, probe="gallery", sharp=True)


def _figure_cells(reading: Reading, verified: Verified, rim: Verified | str) -> list[str]:
    figures = verified.figures
    rate = figures.get("tar_at_far_1e-2")
    return [
        "" if reading.sharp else accuracy_cell(figures),
        f"{figures['accuracy_std']:.4f}",
        ahead_cell(rim, verified),
        "not measurable" if rate is None else f"{rate:.3f}",
    ]


def all_pairs_cells(tar: SeedFigures | str | None, rim: SeedFigures | str | None) -> list[str]:
    """Format the TAR over all pairs, and by how much RIM is ahead.

    Args:
        tar: TAR of the row. A string is the reason why it is missing; None means too few impostor pairs.
        rim: TAR of RIM. Without it the second cell is empty.
    """
    if not isinstance(tar, SeedFigures):
        return [tar or "not measurable", ""]
    return [rate_cell(tar), difference_cell(rim, tar) if isinstance(rim, SeedFigures) else ""]
