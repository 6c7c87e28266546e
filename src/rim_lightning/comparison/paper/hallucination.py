"""rim_lightning.comparison.paper.hallucination."""

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.laboratory import Laboratory, Quality
from rim_lightning.comparison.laboratory.readings import BICUBIC
from rim_lightning.comparison.paper.cells import COST, Progress, _attempt, _cost_cells
from rim_lightning.comparison.paper.plots import _curves, _legend, _save
from rim_lightning.comparison.paper.rows import TABLE_4
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.data.dataset import collate
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.bootstrap import mean_interval, paired_difference
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.score_distribution import cumulative_score_distribution
from rim_lightning.plotting import pyplot
from rim_lightning.types import to_unit


def plot_faces(path: Path, laboratory: Laboratory, faces: FaceSet, count: int) -> list[str]:
    """Figure 3: `count` faces, spread over the set, by every trained method, with its name and the face's PSNR.

    Returns:
        names of the methods that are not trained yet.
    """
    chosen = np.linspace(0, len(faces.faces) - 1, count).round().astype(int)
    batch = collate([faces.faces[int(i)] for i in chosen])
    sharp = to_unit(batch.hr)
    enlarged = synthesize_probe(sharp, torch.full((count,), laboratory.lr_size))
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


def plot_distributions(path: Path, laboratory: Laboratory, faces: FaceSet) -> list[str]:
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


def hallucination_table(laboratory: Laboratory, sets: Mapping[str, FaceSet], hr_size: int, progress: Progress) -> Table:
    """Table 4: image quality of every hallucination network on every set of faces."""
    columns = ["method"]
    for faces in sets.values():
        columns += [f"{faces.title}: {what}" for what in ("PSNR (95 %)", "against FHN", "SSIM", "identity")]
    columns += ["landmarks", "mIoU", *COST, "quoted PSNR / SSIM"]
    reference = {name: _attempt(laboratory.quality, "fhn", faces) for name, faces in sets.items()}
    rows = []
    for system, (label, quoted) in progress(TABLE_4.items()):
        found = {name: _attempt(laboratory.quality, system, faces) for name, faces in sets.items()}
        row = [label]
        for name in sets:
            row += _quality_cells(found[name], reference[name], system == "fhn")
        known = [each for each in found.values() if isinstance(each, Quality)]
        if known:
            # Nothing ever taught the heads of a network without priors.
            taught = [] if system == "fhn_without_priors" else known
            nme = [each.nme for each in taught if math.isfinite(each.nme)]
            miou = [each.miou for each in taught if math.isfinite(each.miou)]
            row += [f"{nme[0]:.1f} %" if nme else "", f"{miou[0]:.3f}" if miou else ""]
            row += _cost_cells(laboratory, system, "sr_face", hr_size) if system != BICUBIC else ["", "0", "0", ""]
        else:
            row += [""] * (2 + len(COST))
        rows.append([*row, quoted])
    return Table("Table 4: hallucination", columns, rows)


def _quality_cells(found: Quality | str, reference: Quality | str, own: bool) -> list[str]:
    if isinstance(found, str):
        return [found, "", "", ""]
    low, high = mean_interval(found.psnr, torch.Generator().manual_seed(0))
    seeds = f" ± {found.psnr.mean(1).std():.2f} (seeds)" if len(found.psnr) > 1 else ""
    cells = [f"{found.psnr.mean():.2f} ({low:.2f} … {high:.2f}){seeds}", ""]
    if isinstance(reference, Quality) and not own:
        mean, low, high = paired_difference(found.psnr, reference.psnr, torch.Generator().manual_seed(0))
        cells[1] = f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"
    return [*cells, f"{found.ssim.mean():.3f}", f"{found.identity.mean():.3f}"]
