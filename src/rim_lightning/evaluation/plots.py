"""Pictures of an evaluation report: faces side by side, and curves of the training run."""

import csv
import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.functional.marked_faces import mark_landmarks, part_legend
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.plotting import pyplot, save_figure
from rim_lightning.runs.words import PHASES, in_words, phase_in_words, term_in_words
from rim_lightning.schemes import parsing_colors
from rim_lightning.types import UNLABELED

MARKED_SIDE = 256  # pixels to which a face is enlarged before its landmarks are marked

Curves = dict[str, list[tuple[float, float]]]
"""Name of a logged value -> its (step, value) in order."""


def plot_panel(path: Path, panel: Panel) -> None:
    """Plot one row per face: LR, bicubic, coarse, SR, HR, landmarks, parsing and, if there are labels, true parsing."""
    plt = pyplot()
    labeled = bool((panel.parsing_true != UNLABELED).any())
    columns = ["LR", "bicubic", "coarse", "SR", "HR", "landmarks", "parsing", *(["true parsing"] if labeled else [])]
    count = len(panel.hr)
    figure, axes = plt.subplots(count, len(columns), figsize=(1.6 * len(columns), 1.72 * count + 0.3), squeeze=False)
    for row in range(count):
        images = (panel.lr, panel.bicubic, panel.coarse, panel.sr, panel.hr)
        for column, image in enumerate(images):
            axes[row, column].imshow(to_pixels(image[row]), interpolation="nearest")
        axes[row, 5].imshow(_with_landmarks(panel, row))
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
    patches = [
        plt.Rectangle((0, 0), 1, 1, facecolor=np.array(color) / 255, edgecolor="black", label=part)
        for part, color in part_legend().items()
    ]
    figure.tight_layout(pad=0.3, rect=(0, 0.3 / (1.72 * count + 0.3), 1, 1))
    figure.legend(handles=patches, loc="lower center", ncols=len(patches), fontsize=8, frameon=False, borderpad=0)
    save_figure(figure, path)


def _with_landmarks(panel: Panel, row: int) -> NDArray[np.uint8]:
    """Return a hallucinated face with its landmarks, enlarged so that they are fine."""
    face = to_pixels(panel.sr[row])
    factor = max(1, round(MARKED_SIDE / len(face)))
    enlarged = face.repeat(factor, axis=0).repeat(factor, axis=1)
    points = {scheme: (xy[row].double().numpy() + 0.5) * factor - 0.5 for scheme, xy in panel.landmarks.items()}
    return mark_landmarks(enlarged, points, len(enlarged) / 128)


def _write_psnr(axis: Any, psnr: float) -> None:
    box = {"color": "black", "alpha": 0.6, "pad": 1.0}
    axis.text(0.03, 0.03, f"{psnr:.2f} dB", transform=axis.transAxes, color="white", fontsize=7, bbox=box)


def plot_curves(path: Path, logs: Path) -> bool:
    """Plot the losses of each phase and the validation figures of a training run.

    Where a phase did not train, its curves have a gap. Curves that lie on each other stay visible: the first one is
    the widest. Bars of the background tell the stages apart.

    Args:
        path: File of the picture.
        logs: Folder of the logged values, one `version_<n>/metrics.csv` per attempt.

    Returns:
        False, and no picture, if nothing is logged yet.
    """
    rows = _logged_rows(logs)
    curves = _logged_curves(rows)
    panels = _panels(curves)
    if not panels:
        return False
    plt = pyplot()
    size = (10, 2.6 * len(panels))
    figure, axes = plt.subplots(len(panels), 1, figsize=size, squeeze=False, sharex=True, layout="constrained")
    spans = _stage_spans(rows)
    for axis, (title, keys) in zip(axes[:, 0], panels.items(), strict=True):
        _mark_stages(axis, spans)
        _plot_curves(axis, title, {key: curves[key] for key in keys})
    for x, name in _stage_names(spans):
        axes[0, 0].annotate(name, (x, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7)
    axes[-1, 0].set_xlabel("batches", fontsize=8)
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    if spans and spans[0][1] == spans[-1][2]:  # a single batch
        axes[-1, 0].set_xlim(spans[0][1] - 1, spans[0][1] + 1)
    save_figure(figure, path, dpi=100)
    return True


def with_gaps(points: Sequence[tuple[float, float]], steps: Sequence[float]) -> list[tuple[float, float]]:
    """Break a curve where it rests.

    Args:
        points: (step, value) in order.
        steps: Steps at which any curve of the kind was logged, in order.

    Returns:
        The points, with (step, NaN) between two of them if others were logged between them.
    """
    broken: list[tuple[float, float]] = []
    for step, value in points:
        if broken:
            between = steps[bisect_right(steps, broken[-1][0]) : bisect_left(steps, step)]
            if between:
                broken.append((between[0], math.nan))
        broken.append((step, value))
    return broken


def _plot_curves(axis: Any, title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    training = title.startswith("training")
    logarithmic = training and all(not value < 0 for points in curves.values() for _, value in points)
    for number, (key, points) in enumerate(curves.items()):
        steps, values = np.array(points).T
        if logarithmic:
            values = np.where(values > 0, values, np.nan)  # a batch without labels has a term of 0
        width = 1 + 0.7 * (len(curves) - 1 - number)
        axis.plot(
            steps,
            values,
            label=term_in_words(key.split("/", 2)[-1]) if training else in_words(key),
            linewidth=width,
            linestyle=("-", "--", "-.", ":")[number % 4],
            marker="o" if len(points) <= 50 or not training else None,  # a lone point has no line
            markersize=2 + width,
            zorder=2 + number / 100,
        )
    axis.set_title(title, fontsize=9, loc="left", pad=14)
    if logarithmic:
        axis.set_yscale("log")
    axis.tick_params(which="both", labelsize=7)
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    axis.grid(alpha=0.3)


def _panels(curves: Curves) -> dict[str, list[str]]:
    """Return title -> names of its curves: one panel for each phase and one for each kind of validation figure."""
    panels: dict[str, list[str]] = defaultdict(list)
    phases = sorted({key.split("/")[1] for key in curves if key.startswith("train/")}, key=_place_of_phase)
    for key in (key for phase in phases for key in sorted(curves) if key.startswith(f"train/{phase}/")):
        if not key.endswith("/loss"):
            panels[f"training: {phase_in_words(key.split('/')[1])}"].append(key)
    psnr: list[str] = [key for key in ("val/sr/psnr_y", "val/coarse/psnr_y", "val/bicubic/psnr_y") if key in curves]
    accuracy: list[str] = [key for key in sorted(curves) if re.fullmatch(r"val/\w+/accuracy", key)]
    for title, keys in (("validation: PSNR of luma", psnr), ("validation: people", accuracy)):
        if keys:
            panels[title] = keys
    return panels


def _place_of_phase(phase: str) -> tuple[int, str]:
    return (list(PHASES).index(phase) if phase in PHASES else len(PHASES), phase)


def _stage_spans(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, float, float]]:
    """Return (name, first step, last step) of each stage in order."""
    spans: list[tuple[str, float, float]] = []
    for row in rows:
        name, step = row.get("stage") or "", float(row["step"])
        if not name:
            continue
        if spans and spans[-1][0] == name:
            spans[-1] = (name, spans[-1][1], step)
        else:
            spans.append((name, spans[-1][2] if spans else step, step))
    return spans


def _mark_stages(axis: Any, spans: Sequence[tuple[str, float, float]]) -> None:
    """Shade every second stage."""
    for number, (_, start, end) in enumerate(spans):
        if number % 2:
            axis.axvspan(start, end, color="0.94", zorder=0, linewidth=0)


def _stage_names(spans: Sequence[tuple[str, float, float]]) -> list[tuple[float, str]]:
    """Return the middle and the name of each stage. A log of version 0.1 has numbers, which say nothing."""
    return [((start + end) / 2, name) for name, start, end in spans if not name.replace(".", "").isdigit()]


def _logged_curves(rows: Sequence[Mapping[str, str]]) -> Curves:
    curves: Curves = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            if value and key.startswith(("train/", "val/")):
                curves[key].append((float(row["step"]), float(value)))
    trained = {key: points for key, points in curves.items() if key.startswith("train/")}
    steps = sorted({step for points in trained.values() for step, _ in points})
    return curves | {key: with_gaps(points, steps) for key, points in trained.items()}


def _logged_rows(logs: Path) -> list[dict[str, str]]:
    """Return the rows of all attempts, without those that a resumed attempt did again after its checkpoint."""
    rows: list[dict[str, str]] = []
    for file in sorted(logs.glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1])):
        with file.open(encoding="utf-8") as stream:
            attempt = list(csv.DictReader(stream))
        first = min((float(row["step"]) for row in attempt), default=float("inf"))
        rows = [row for row in rows if float(row["step"]) < first] + attempt
    return rows
