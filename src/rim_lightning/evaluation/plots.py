"""rim_lightning.evaluation.verification.plots."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.plotting import pyplot
from rim_lightning.schemes import parsing_colors
from rim_lightning.types import UNLABELED


def plot_panel(path: Path, panel: Panel) -> None:
    """A row per face: LR | bicubic | coarse | SR | HR | heatmaps | parsing | parsing (true, where there is a label)."""
    plt = pyplot()
    truth = bool((panel.parsing_true != UNLABELED).any())
    columns = ["LR", "bicubic", "coarse", "SR", "HR", "heatmaps", "parsing", *(["true parsing"] if truth else [])]
    count = len(panel.hr)
    figure, axes = plt.subplots(count, len(columns), figsize=(1.6 * len(columns), 1.72 * count), squeeze=False)
    for row in range(count):
        images = (panel.lr, panel.bicubic, panel.coarse, panel.sr, panel.hr)
        for column, image in enumerate(images):
            axes[row, column].imshow(to_pixels(image[row]), interpolation="nearest")
        axes[row, 5].imshow(to_pixels(panel.sr[row]))
        axes[row, 5].imshow(panel.heatmaps[row].clamp(0, 1), cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        axes[row, 6].imshow(parsing_colors()[panel.parsing[row].numpy()], interpolation="nearest")
        if truth:
            axes[row, 7].imshow(parsing_colors()[panel.parsing_true[row].numpy()], interpolation="nearest")
        for column, value in ((1, panel.psnr_bicubic[row]), (3, panel.psnr_sr[row])):
            axes[row, column].text(
                0.03,
                0.03,
                f"{value:.2f} dB",
                transform=axes[row, column].transAxes,
                color="white",
                fontsize=7,
                bbox={"color": "black", "alpha": 0.6, "pad": 1.0},
            )
    for column, name in enumerate(columns):
        axes[0, column].set_title(name, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_curves(path: Path, source: Path) -> bool:
    """Losses per phase and validation figures of the CSV logs in `source`; False if there are none yet."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _logged_rows(source):
        for key, value in row.items():
            if value and key.startswith(("train/", "val/")):
                series[key].append((float(row["step"]), float(value)))
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(series):
        if key.startswith("train/") and not key.endswith("/loss"):
            groups[f"train: {key.split('/')[1]}"].append(key)
    for title, keys in (
        ("validation: Y-PSNR (dB)", [key for key in series if key.endswith("/psnr_y")]),
        ("validation: verification accuracy", ["val/rim/accuracy"] if "val/rim/accuracy" in series else []),
    ):
        if keys:
            groups[title] = keys
    if not groups:
        return False
    plt = pyplot()
    figure, axes = plt.subplots(-(-len(groups) // 2), 2, figsize=(11, 3.1 * -(-len(groups) // 2)), squeeze=False)
    for axis, (title, keys) in zip(axes.flat, groups.items(), strict=False):
        logarithmic = title.startswith("train") and all(value >= 0 for key in keys for _, value in series[key])
        for key in keys:
            steps, values = np.array(series[key]).T
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
    for axis in list(axes.flat)[len(groups) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return True


def _logged_rows(source: Path) -> list[dict[str, str]]:
    """Rows of all sittings; what a killed one did after its last checkpoint gives way to the sitting that redid it."""
    rows: list[dict[str, str]] = []
    for file in sorted(source.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1])):
        with file.open() as stream:
            sitting = list(csv.DictReader(stream))
        first = min((float(row["step"]) for row in sitting), default=float("inf"))
        rows = [row for row in rows if float(row["step"]) < first] + sitting
    return rows
