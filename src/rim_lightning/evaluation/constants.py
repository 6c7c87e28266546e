"""What a network reaches that answers the same for every face: the baseline of landmarks and parsing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.schemes import HELEN11

CLASSES = len(HELEN11.classes)
CHUNK = 64
"""Number of parsing maps that are read at a time."""


class ConstantPriors(NamedTuple):
    """One answer for all faces.

    Attributes:
        points: Scheme -> mean position of each point, (N, 2) in pixels of the aligned face; of schemes with labels.
        parsing: Most frequent class of each pixel, (S, S) int64; None if no face has a parsing map.
    """

    points: Mapping[str, Tensor]
    parsing: Tensor | None


def constant_priors(sets: Sequence[FaceDataset], schemes: Sequence[str]) -> ConstantPriors:
    """Compute the mean shape and the most frequent classes of faces, usually those of the training.

    Args:
        sets: Faces of one size. Their labels are taken without augmentation.
        schemes: Landmark schemes.

    Returns:
        The constants.
    """
    points = {}
    for scheme in schemes:
        labels = _landmarks(sets, scheme)
        if np.isfinite(labels).all(-1).any():
            annotated = np.isfinite(labels)
            mean = np.where(annotated, labels, 0).sum(0) / annotated.sum(0).clip(min=1)  # as nanmean, without a warning
            points[scheme] = torch.from_numpy(np.where(annotated.any(0), mean, np.nan)).float()
    counts = torch.zeros(0)
    for maps in _parsing_maps(sets):
        chunk = torch.stack([(maps == number).sum(0) for number in range(CLASSES)])  # (classes, S, S)
        counts = counts + chunk if len(counts) else chunk
    return ConstantPriors(points, counts.argmax(0) if counts.any() else None)


def constant_figures(constants: ConstantPriors, sets: Sequence[FaceDataset]) -> dict[str, float]:
    """Measure constant priors on faces, as the priors of a network are measured.

    Args:
        constants: The answer for all faces.
        sets: Faces that are measured, without augmentation.

    Returns:
        "nme/<scheme>_constant" in percent of the eye distance and "miou_constant" in [0, 1]; left out where no face
        has the label.
    """
    figures = {}
    for scheme, points in constants.points.items():
        labels = torch.from_numpy(_landmarks(sets, scheme)).float()
        if len(labels):
            error = NormalizedMeanError(scheme)
            error.update(points.expand_as(labels), labels, torch.arange(len(labels)))
            figures[f"nme/{scheme}_constant"] = float(error.compute())
    if constants.parsing is not None:
        iou, first = ParsingIoU(CLASSES), 0
        scores = F.one_hot(constants.parsing, CLASSES).permute(2, 0, 1)[None]  # (1, classes, S, S)
        for maps in _parsing_maps(sets):
            iou.update(scores.expand(len(maps), -1, -1, -1), maps, torch.arange(first, first + len(maps)))
            first += len(maps)
        if first:
            figures["miou_constant"] = float(iou.compute())
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def training_faces(faces: FaceDataset) -> tuple[FaceDataset, bool]:
    """Return the training faces of the store of some faces, and True; the faces themselves and False if it has none."""
    training = FaceDataset(faces.store, "train")
    return (training, True) if len(training) else (faces, False)


def _landmarks(sets: Sequence[FaceDataset], scheme: str) -> NDArray[np.float64]:
    """Return the points of all faces of those sets that have the scheme, (faces, N, 2); NaN where not annotated."""
    labels = [
        np.asarray(part.store.landmarks[scheme][part.positions], dtype=np.float64) - _offset(part)
        for part in sets
        if scheme in part.store.landmarks
    ]
    return np.concatenate(labels) if labels else np.full((0, 1, 2), np.nan)


def _parsing_maps(sets: Sequence[FaceDataset]) -> Iterator[Tensor]:
    """Yield the parsing maps of the sets that have some, (n, S, S) uint8 each."""
    for part in sets:
        if part.store.parsing is None:
            continue
        offset, size = _offset(part), part.store.hr_size
        for start in range(0, len(part), CHUNK):
            stored = [part.store.parsing[position] for position in part.positions[start : start + CHUNK]]
            maps = np.stack(stored)[:, offset : offset + size, offset : offset + size]
            yield torch.from_numpy(np.ascontiguousarray(maps))


def _offset(part: FaceDataset) -> int:
    """Width of the margin that the center crop leaves out, in pixels."""
    return (int(part.store.manifest["stored_size"]) - part.store.hr_size) // 2
