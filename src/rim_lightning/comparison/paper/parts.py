"""The table of parts: RIM with one part changed, by what `rim-train` measured on the validation faces."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.cells import attempt, rows_with_progress, training_cells
from rim_lightning.comparison.paper.rows import HALLUCINATION_PARTS, LANDMARKS, RECOGNITION_PARTS
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.seeds import seed_interval

GAIN = {"val/psnr_gain": 2}
PRIORS = {f"val/nme/{LANDMARKS}": 2, "val/miou": 3}
RECOGNITION = {"auc": 4, "tar_at_far_1e-2": 3}
"""Figures of the hallucinated face, of the priors and of recognition, and their digits."""

COLUMNS = (
    "what is changed",
    "gain over bicubic, dB",
    "landmark error, %",
    "mIoU",
    "AUC",
    "TAR@FAR 1e-2",
    "camera: AUC",
    "camera: TAR@FAR 1e-2",
    "thousand training faces",
    "training TFLOP",
)
CONSTANT = "a constant answer"
NOTES = (
    "Figures of the validation faces and of sampled pairs of the validation people, as rim-train writes them to "
    "metrics.json at the end of a run. Nothing in this table is from a test set.",
    "camera: degraded probes, moved as by a detector's points. ±: half of the 95 % interval over the seeds. A row "
    "without ± is one seed; it differs from another one only where it does so by more than the seeds of RIM do.",
    f"{CONSTANT}: bicubic enlargement, the mean shape, and the most frequent class of each pixel.",
)


def make_parts_table(comparison: Comparison) -> Table:
    """Make the table of parts."""
    return parts_table(comparison.laboratory)


def parts_table(laboratory: Laboratory) -> Table:
    """Collect the validation figures of the parts. Nothing is embedded or hallucinated again.

    Args:
        laboratory: Knows the runs.
    """
    lines = []
    constants: dict[str, float] = {}  # the same in every run that has them
    for system, label in rows_with_progress((HALLUCINATION_PARTS | RECOGNITION_PARTS).items()):
        figures = attempt(laboratory.networks.validation_figures, system)
        if isinstance(figures, str):
            lines.append([label, figures, *[""] * (len(COLUMNS) - 2)])
            continue
        for seed in figures:
            constants = seed | constants
        cells = part_cells(figures)
        if system in HALLUCINATION_PARTS:  # nothing was trained to recognize
            cells[-2 * len(RECOGNITION) :] = [""] * 2 * len(RECOGNITION)
        lines.append([label, *cells, *training_cells(laboratory, system)])
    priors = [_mean_cell([constants.get(f"{key}_constant", math.nan)], digits) for key, digits in PRIORS.items()]
    lines.insert(0, [CONSTANT, "0.00", *priors, *[""] * (len(COLUMNS) - 4)])
    return Table("Parts of RIM on validation faces", list(COLUMNS), lines, NOTES)


def part_cells(seeds: Sequence[Mapping[str, float]]) -> list[str]:
    """Format the figures of a row from the second to the eighth column.

    Args:
        seeds: Figures of `metrics.json` of every seed. A figure that a seed lacks is an empty cell.
    """
    kind = "recognizer" if "val/recognizer/auc" in seeds[0] else "rim"
    recognition = {
        f"val/{view}{kind}/{name}": digits for view in ("", "camera/") for name, digits in RECOGNITION.items()
    }
    keys = GAIN | PRIORS | recognition
    return [_mean_cell([seed.get(key, math.nan) for seed in seeds], digits) for key, digits in keys.items()]


def _mean_cell(values: Sequence[float], digits: int) -> str:
    if not all(math.isfinite(value) for value in values):
        return ""
    cell = f"{fmean(values):.{digits}f}"
    if len(values) == 1:
        return cell
    mean, _, low, _ = seed_interval(values)
    return f"{cell} ± {mean - low:.{digits}f}"
