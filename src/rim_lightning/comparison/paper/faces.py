"""Figure 3: faces side by side, by every trained method."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.cells import attempt
from rim_lightning.comparison.paper.rows import TABLE_4
from rim_lightning.comparison.setup import Comparison
from rim_lightning.data.dataset import collate
from rim_lightning.evaluation.protocols import FaceSet
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.plotting import pyplot, save_figure
from rim_lightning.types import to_unit

Column = tuple[str, Tensor, Tensor | None]
"""Label, faces (n, 3, S, S) in [-1, 1], and their PSNR (n,) in dB if they are not the true faces."""


def plot_figure_3(path: Path, comparison: Comparison) -> dict[str, str]:
    """Plot figure 3, see `plot_faces`."""
    return plot_faces(path, comparison.laboratory, comparison.first_faces(), comparison.settings["shown_faces"])


def plot_faces(path: Path, laboratory: Laboratory, faces: FaceSet, count: int) -> dict[str, str]:
    """Plot some faces of a set by every trained method, with its name and the PSNR of each face.

    Args:
        path: File of the picture.
        laboratory: Makes and measures the faces.
        faces: The set.
        count: Number of faces, spread over the set.

    Returns:
        Method that is left out -> reason.
    """
    positions = np.linspace(0, len(faces.dataset) - 1, count).round().astype(int)
    batch = collate([faces.dataset[int(position)] for position in positions])
    sharp = to_unit(batch.hr)  # (n, 3, S, S)
    enlarged = synthesize_probe(sharp, torch.full((count,), laboratory.lr_size))
    columns: list[Column] = []
    missing: dict[str, str] = {}
    for system, (label, _) in TABLE_4.items():
        column = attempt(_column, laboratory, system, label, faces, torch.from_numpy(positions), enlarged)
        if isinstance(column, str):
            missing[label] = column
        else:
            columns.append(column)
    _plot([*columns, ("sharp", sharp, None)], path)
    return missing


def _column(
    laboratory: Laboratory, system: str, label: str, faces: FaceSet, positions: Tensor, enlarged: Tensor
) -> Column:
    quality = laboratory.quality(system, faces)
    return label, laboratory.hallucinate(system, enlarged), quality.psnr[0, positions]


def _plot(columns: Sequence[Column], path: Path) -> None:
    count = len(columns[0][1])
    size = (1.35 * len(columns), 1.5 * count)
    figure, axes = pyplot().subplots(count, len(columns), figsize=size, squeeze=False, layout="constrained")
    for column, (label, images, psnr) in enumerate(columns):
        for row in range(count):
            axis = axes[row, column]
            axis.imshow(to_pixels(images[row]))
            axis.set_xticks([])
            axis.set_yticks([])
            if psnr is not None:
                axis.set_xlabel(f"{psnr[row]:.2f} dB", fontsize=7, labelpad=1)
        axes[0, column].set_title(textwrap.fill(label, 17), fontsize=7)
    save_figure(figure, path)
