"""The figures of the paper: faces side by side, CSD curves, ROC curves."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rim_lightning.comparison.measures import Laboratory, Quality
from rim_lightning.comparison.protocols import FaceSet, PairSet
from rim_lightning.comparison.systems import NotTrained
from rim_lightning.comparison.tables import SWEEP, TABLE_1, TABLE_3, TABLE_4, Reading
from rim_lightning.data.dataset import collate
from rim_lightning.functional.csd import cumulative_score_distribution
from rim_lightning.functional.degradation import synthesise_probe
from rim_lightning.functional.verification import roc_curve
from rim_lightning.plotting import pyplot
from rim_lightning.report import to_pixels
from rim_lightning.types import to_unit

WORST_FAR = 10  # impostor pairs that a point of an ROC needs


def draw_faces(path: Path, laboratory: Laboratory, faces: FaceSet, count: int) -> list[str]:
    """Figure 3: `count` faces, spread over the set, by every trained method, with its name and the face's PSNR.

    Returns:
        names of the methods that are not trained yet.
    """
    chosen = np.linspace(0, len(faces.faces) - 1, count).round().astype(int)
    batch = collate([faces.faces[int(i)] for i in chosen])
    sharp = to_unit(batch.hr)
    enlarged = synthesise_probe(sharp, torch.full((count,), laboratory.lr_size))
    columns: list[tuple[str, Tensor, Tensor | None]] = []
    missing = []
    for system, (label, _) in TABLE_4.items():
        try:
            quality = laboratory.quality(system, faces)
            columns.append((label, laboratory.hallucinate(system, enlarged), quality.psnr[0, torch.from_numpy(chosen)]))
        except (NotTrained, ValueError, OSError):
            missing.append(label)
    columns.append(("sharp", sharp, None))
    plt = pyplot()
    size = (1.35 * len(columns), 1.5 * count)
    figure, axes = plt.subplots(count, len(columns), figsize=size, squeeze=False, layout="constrained")
    for column, (label, images, psnr) in enumerate(columns):
        for row in range(count):
            axis = axes[row, column]
            axis.imshow(to_pixels(images[row]))
            axis.set_xticks([])
            axis.set_yticks([])
            if psnr is not None:
                axis.set_xlabel(f"{psnr[row]:.2f} dB", fontsize=7, labelpad=1)
        axes[0, column].set_title(textwrap.fill(label, 17), fontsize=7)
    _save(figure, path)
    return missing


def draw_distributions(path: Path, laboratory: Laboratory, faces: FaceSet) -> list[str]:
    """Figure 4: the share of faces whose PSNR, and SSIM, is at least x, for every trained method; returns as above."""
    found: dict[str, Quality] = {}
    missing = []
    for system, (label, _) in TABLE_4.items():
        try:
            found[label] = laboratory.quality(system, faces)
        except (NotTrained, ValueError, OSError):
            missing.append(label)
    figure, axes = _curves(2)
    for axis, name, unit in zip(axes, ("psnr", "ssim"), ("PSNR (dB)", "SSIM"), strict=True):
        scores = {label: torch.atleast_2d(getattr(quality, name)).mean(0) for label, quality in found.items()}
        low, high = (
            f(values.min().item() if f is min else values.max().item() for values in scores.values())
            for f in (min, max)
        )
        grid = torch.linspace(low, high, 400, dtype=torch.float64)
        for label, values in scores.items():
            axis.plot(grid, cumulative_score_distribution(values, grid), label=label, linewidth=1.2)
        axis.set_xlabel(unit)
        axis.set_ylabel("share of faces at or above")
        axis.grid(alpha=0.3)
    _legend(figure)
    figure.suptitle(f"{faces.title}, {len(faces.faces)} faces", fontsize=9)
    _save(figure, path)
    return missing


def draw_roc(path: Path, laboratory: Laboratory, pairs: PairSet) -> list[str]:
    """ROC curves, FAR on a logarithmic axis that ends where 10 impostor pairs decide, and DET curves up to a FAR of one
    half, without the points at which nobody is refused; returns as above."""
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


def draw_sweep(
    path: Path,
    laboratory: Laboratory,
    pairs: PairSet,
    degradations: Mapping[str, Sequence[int]],
) -> list[str]:
    """Accuracy of the first seed over the size of the probe, a panel for each way of making it, at the sizes given for
    it; returns as above."""
    figure, axes = _curves(len(degradations), sharey=True)
    missing = []
    for axis, (degradation, measured) in zip(axes, degradations.items(), strict=True):
        for number, (label, reading) in enumerate(SWEEP):
            try:
                found = [laboratory.verify(reading, pairs, size, degradation, seeds=1).figures for size in measured]
            except (NotTrained, ValueError, OSError):
                missing.append(label)
                continue
            accuracy = [each["accuracy"] for each in found]
            errors = [
                [each["accuracy"] - each["accuracy_low"] for each in found],
                [each["accuracy_high"] - each["accuracy"] for each in found],
            ]
            axis.errorbar(
                measured,
                accuracy,
                errors,
                fmt="o-",
                color=f"C{number}",
                label=label,
                linewidth=1.2,
                markersize=3,
                capsize=2,
            )
        axis.set_xscale("log")
        axis.set_xticks(measured, labels=[str(size) for size in measured])
        axis.set_xticks([], minor=True)
        axis.set_title(f"probe made by {degradation}", fontsize=9)
        axis.set_xlabel("side of the probe, pixels")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"accuracy, {pairs.title}")
    _legend(figure)
    _save(figure, path)
    return list(dict.fromkeys(missing))


def _curves(panels: int, **options):
    """A figure and its axes in a row, whose colours are told apart by dashes once they repeat."""
    plt = pyplot()
    figure, axes = plt.subplots(1, panels, figsize=(5.5 * panels, 5), squeeze=False, layout="constrained", **options)
    for axis in axes[0]:
        axis.set_prop_cycle(plt.cycler(linestyle=["-", "--", ":"]) * plt.cycler(color=plt.get_cmap("tab10").colors))
    return figure, axes[0]


def _legend(figure) -> None:
    curves: dict[str, object] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            curves.setdefault(label, handle)
    figure.legend(curves.values(), curves.keys(), loc="outside lower center", ncols=4, fontsize=7)


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot().close(figure)
