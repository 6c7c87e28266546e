"""The tables of the paper, with our figures beside the quoted ones."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from rim_lightning.comparison.laboratory.laboratory import Laboratory, Verified
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.functional.bootstrap import paired_difference

NOT_RUN, NO_DATA = "not yet run", "no data"


COST = ("thousand training faces", "M parameters", "GFLOP", "faces/s a thread")

Progress = Callable[[Iterable], Iterable]
"""Puts a progress bar around rows."""


def _attempt(measure: Callable, *arguments: Any):
    """The figure, or why there is none."""
    try:
        return measure(*arguments)
    except NotTrained:
        return NOT_RUN
    except (ValueError, OSError) as error:
        return f"failed: {error}"


def _accuracy(figures: Mapping[str, float]) -> str:
    seeds = f" ± {figures['accuracy_seeds']:.4f} (seeds)" if "accuracy_seeds" in figures else ""
    return f"{figures['accuracy']:.4f} ({figures['accuracy_low']:.3f} … {figures['accuracy_high']:.3f}){seeds}"


def _ahead(reference: Verified | str | None, found: Verified) -> str:
    if not isinstance(reference, Verified):
        return ""
    mean, low, high = paired_difference(reference.correct, found.correct, torch.Generator().manual_seed(0))
    return f"{mean:+.4f} ({low:+.4f} … {high:+.4f})" + _doubt(low, high)


def _doubt(low: float, high: float) -> str:
    return "" if low > 0 or high < 0 else ", not different"


def _cost_cells(laboratory: Laboratory, system: str, part: str, hr_size: int) -> list[str]:
    seen = _attempt(laboratory.faces_seen, system)
    shown = seen if isinstance(seen, str) else f"{seen / 1e3:.1f}" if seen else ""
    cost = _attempt(laboratory.cost, system, part, hr_size)
    if isinstance(cost, str):
        return [shown, cost, "", ""]
    return [shown, f"{cost['parameters'] / 1e6:.2f}", f"{cost['gflop']:.2f}", f"{cost['faces_per_s']:.0f}"]
