"""Figure 4: cumulative score distributions of PSNR and SSIM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.quality import Quality
from rim_lightning.comparison.paper.cells import attempt
from rim_lightning.comparison.paper.plots import common_legend, curve_panels
from rim_lightning.comparison.paper.rows import TABLE_4
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.score_distribution import cumulative_score_distribution
from rim_lightning.plotting import save_figure


def plot_figure_4(path: Path, comparison: Comparison) -> dict[str, str]:
    """Plot figure 4, see `plot_distributions`."""
    return plot_distributions(path, comparison.laboratory, comparison.first_faces())


def plot_distributions(path: Path, laboratory: Laboratory, faces: FaceSet) -> dict[str, str]:
    """Plot the share of faces whose PSNR, and SSIM, is at least x, for every trained method.

    Args:
        path: File of the picture.
        laboratory: Measures the faces.
        faces: The set.

    Returns:
        Method that is left out -> reason.
    """
    qualities: dict[str, Quality] = {}
    missing: dict[str, str] = {}
    for system, (label, _) in TABLE_4.items():
        quality = attempt(laboratory.quality, system, faces)
        if isinstance(quality, str):
            missing[label] = quality
        else:
            qualities[label] = quality
    figure, (left, right) = curve_panels(2)
    _plot_scores(left, {label: quality.psnr.mean(0) for label, quality in qualities.items()}, "PSNR (dB)")
    _plot_scores(right, {label: quality.ssim for label, quality in qualities.items()}, "SSIM")
    common_legend(figure)
    figure.suptitle(f"{faces.title}, {len(faces.dataset)} faces", fontsize=9)
    save_figure(figure, path)
    return missing


def _plot_scores(axis: Any, scores: Mapping[str, Tensor], unit: str) -> None:
    """Plot one curve per method over a common range of scores, (N,) each."""
    if not scores:
        return
    low = min(values.min().item() for values in scores.values())
    high = max(values.max().item() for values in scores.values())
    grid = torch.linspace(low, high, 400, dtype=torch.float64)
    for label, values in scores.items():
        axis.plot(grid, cumulative_score_distribution(values, grid), label=label, linewidth=1.2)
    axis.set_xlabel(unit)
    axis.set_ylabel("share of faces at or above")
    axis.grid(alpha=0.3)
