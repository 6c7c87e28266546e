"""Cells that several tables share."""

from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

import torch

from rim_lightning.comparison.laboratory.laboratory import Laboratory, Verified
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import SeedFigures, figure_difference, figure_interval, paired_difference
from rim_lightning.runs.progress import progress_bar

NOT_RUN, NO_DATA, FAILED = "not yet run", "no data", "failed: "

COST_COLUMNS = ("thousand training faces", "training TFLOP", "M parameters", "GFLOP", "faces/s a thread")

FIRST_SEED = "A system with several seeds is measured by its first seed."
"""Note below tables that measure one seed."""

P = ParamSpec("P")
T = TypeVar("T")


def attempt(measure: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | str:
    """Measure something that may be missing.

    Args:
        measure: Function that measures it.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The result; `NOT_RUN` if a system is not trained; "failed: <sentence>" if a file is missing or damaged.
    """
    try:
        return measure(*args, **kwargs)
    except NotTrained:
        return NOT_RUN
    except (ValueError, OSError) as error:
        return f"{FAILED}{error}"


def rows_with_progress(rows: Iterable[T]) -> Iterable[T]:
    """Iterate over the rows of a table with a progress bar."""
    return progress_bar(list(rows), desc="rows", unit="row")


def accuracy_cell(figures: Mapping[str, float]) -> str:
    """Format an accuracy with its interval and, for several seeds, their spread."""
    seeds = f" ± {figures['accuracy_seeds']:.4f} (seeds)" if "accuracy_seeds" in figures else ""
    return f"{figures['accuracy']:.4f} ({figures['accuracy_low']:.3f} … {figures['accuracy_high']:.3f}){seeds}"


def ahead_cell(reference: Verified | str, verified: Verified) -> str:
    """Format by how much the reference is ahead, with the 95 % paired bootstrap over pairs."""
    if not isinstance(reference, Verified):
        return ""
    trained = (reference.trained, verified.trained)
    generator = torch.Generator().manual_seed(0)
    mean, low, high = paired_difference(reference.correct, verified.correct, generator, trained=trained)
    return f"{mean:+.4f} ({low:+.4f} … {high:+.4f})" + significance_note(low, high)


def rate_cell(rates: SeedFigures) -> str:
    """Format the mean of a rate in [0, 1] over seeds with its interval, see `figure_interval`."""
    low, high = (end.item() for end in figure_interval(rates))
    return f"{rates.figures.mean():.3f} ({max(low, 0.0):.3f} … {min(high, 1.0):.3f})"


def difference_cell(a: SeedFigures, b: SeedFigures) -> str:
    """Format by how much one system is ahead of another one on the same people, see `figure_difference`."""
    mean, low, high = (value.item() for value in figure_difference(a, b))
    return f"{mean:+.3f} ({low:+.3f} … {high:+.3f})" + significance_note(low, high)


def significance_note(low: float, high: float) -> str:
    """Return ", not different" if the interval of a difference contains 0, otherwise ""."""
    return "" if low > 0 or high < 0 else ", not different"


def cost_cells(laboratory: Laboratory, system: str, part: str, hr_size: int) -> list[str]:
    """Return the cells of `COST_COLUMNS`: training faces of a system and the cost of inference by one of its parts."""
    trained = training_cells(laboratory, system)
    cost = attempt(laboratory.cost, system, part, hr_size)
    if isinstance(cost, str):
        return [*trained, cost, "", ""]
    return [*trained, f"{cost['parameters'] / 1e6:.2f}", f"{cost['gflop']:.2f}", f"{cost['faces_per_s']:.0f}"]


def training_cells(laboratory: Laboratory, system: str) -> list[str]:
    """Return thousand faces and TFLOP of the training of a system; empty for one that is not trained."""
    faces = attempt(laboratory.networks.faces_seen, system)
    work = attempt(laboratory.training_work, system)
    return [
        faces if isinstance(faces, str) else f"{faces / 1e3:.1f}" if faces else "",
        work if isinstance(work, str) else f"{work:.3g}" if work else "",
    ]


def pair_notes(*sets: PairSet | None) -> list[str]:
    """Return one sentence per set: its numbers of pairs and folds."""
    return [
        f"{pairs.title}: {len(pairs.same)} pairs in {len(pairs.fold.unique())} folds, threshold of the other folds."
        for pairs in sets
        if pairs is not None
    ]
