"""Pictures of an evaluation report: faces side by side, and curves of the training run."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.plotting import pyplot
from rim_lightning.schemes import parsing_colors
from rim_lightning.types import UNLABELED

Curves = dict[str, list[tuple[float, float]]]
"""Name of a logged value -> its (step, value) in order."""


def plot_panel(path: Path, panel: Panel) -> None:
    """Plot one row per face: LR, bicubic, coarse, SR, HR, heatmaps, parsing and, if there are labels, true parsing."""
    plt = pyplot()
    labeled = bool((panel.parsing_true != UNLABELED).any())
    columns = ["LR", "bicubic", "coarse", "SR", "HR", "heatmaps", "parsing", *(["true parsing"] if labeled else [])]
    count = len(panel.hr)
    figure, axes = plt.subplots(count, len(columns), figsize=(1.6 * len(columns), 1.72 * count), squeeze=False)
    for row in range(count):
        images = (panel.lr, panel.bicubic, panel.coarse, panel.sr, panel.hr)
        for column, image in enumerate(images):
            axes[row, column].imshow(to_pixels(image[row]), interpolation="nearest")
        axes[row, 5].imshow(to_pixels(panel.sr[row]))
        axes[row, 5].imshow(panel.heatmaps[row].clamp(0, 1).numpy(), cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        axes[row, 6].imshow(parsing_colors()[panel.parsing[row].numpy()], interpolation="nearest")
        if labeled:
            axes[row, 7].imshow(parsing_colors()[panel.parsing_true[row].numpy()], interpolation="nearest")
        _write_psnr(axes[row, 1], float(panel.psnr_bicubic[row]))
        _write_psnr(axes[row, 3], float(panel.psnr_sr[row]))
    for column, name in enumerate(columns):
        axes[0, column].set_title(name, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _write_psnr(axis: Any, psnr: float) -> None:
    box = {"color": "black", "alpha": 0.6, "pad": 1.0}
    axis.text(0.03, 0.03, f"{psnr:.2f} dB", transform=axis.transAxes, color="white", fontsize=7, bbox=box)


def plot_curves(path: Path, logs: Path) -> bool:
    """Plot the losses of each phase and the validation figures of a training run.

    Args:
        path: File of the picture.
        logs: Folder of the logged values, one `version_<n>/metrics.csv` per attempt.

    Returns:
        False, and no picture, if nothing is logged yet.
    """
    curves = _logged_curves(logs)
    panels = _panels(curves)
    if not panels:
        return False
    plt = pyplot()
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(11, 3.1 * rows), squeeze=False)
    for axis, (title, keys) in zip(axes.flat, panels.items(), strict=False):
        _plot_curves(axis, title, {key: curves[key] for key in keys})
    for axis in list(axes.flat)[len(panels) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return True


def _plot_curves(axis: Any, title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    logarithmic = title.startswith("train") and all(value >= 0 for points in curves.values() for _, value in points)
    for key, points in curves.items():
        steps, values = np.array(points).T
        if logarithmic:
            values = np.where(values > 0, values, np.nan)  # a batch without labels has a term of 0
        name = key.split("/", 2)[-1] if key.startswith("train") else key
        axis.plot(steps, values, label=name, linewidth=1, marker="o" if key.startswith("val") else None)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("batches", fontsize=7)
    if logarithmic:
        axis.set_yscale("log")
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)


def _panels(curves: Curves) -> dict[str, list[str]]:
    """Return title -> names of its curves: one panel for each phase and one for each kind of validation figure."""
    panels: dict[str, list[str]] = defaultdict(list)
    for key in sorted(curves):
        if key.startswith("train/") and not key.endswith("/loss"):
            panels[f"train: {key.split('/')[1]}"].append(key)
    psnr = [key for key in curves if key.endswith("/psnr_y")]
    accuracy = [key for key in curves if key == "val/rim/accuracy"]
    for title, keys in (("validation: Y-PSNR (dB)", psnr), ("validation: verification accuracy", accuracy)):
        if keys:
            panels[title] = keys
    return panels


def _logged_curves(logs: Path) -> Curves:
    curves: Curves = defaultdict(list)
    for row in _logged_rows(logs):
        for key, value in row.items():
            if value and key.startswith(("train/", "val/")):
                curves[key].append((float(row["step"]), float(value)))
    return curves


def _logged_rows(logs: Path) -> list[dict[str, str]]:
    """Return the rows of all attempts, without those that a resumed attempt did again after its checkpoint."""
    rows: list[dict[str, str]] = []
    for file in sorted(logs.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1])):
        with file.open() as stream:
            attempt = list(csv.DictReader(stream))
        first = min((float(row["step"]) for row in attempt), default=float("inf"))
        rows = [row for row in rows if float(row["step"]) < first] + attempt
    return rows
