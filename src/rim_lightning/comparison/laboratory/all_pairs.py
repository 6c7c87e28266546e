"""Verification over ALL pairs of a gallery with a probe image of a list: TAR, and the cost of likelihood ratios."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.compute_once import compute_file
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import person_resampled_tar
from rim_lightning.functional.fixed_thresholds import PairsOfPeople
from rim_lightning.functional.likelihood_ratio import BoundedRatio, cllr_min, ratio_costs, with_fewer_strangers

RESAMPLES = 300
"""Resamples of people. Each one goes through all pairs."""


def all_pairs_tar(folder: Path, gallery: Tensor, probe: Tensor, pairs: PairSet, far: float) -> Any:
    """Compute the TAR of one seed over all pairs, or read the stored result; see `person_resampled_tar`.

    Args:
        folder: Folder of the stored results.
        gallery: Embeddings of the gallery images of the pairs, (P, E), of unit length.
        probe: Embeddings of the probe images of the pairs, (P, E), of unit length.
        pairs: The list, whose people are known.
        far: False accept rate.

    Returns:
        [TAR, its resamples], or None if too few impostor pairs decide.

    Raises:
        ValueError: If the people are unknown.
    """
    file = _file(folder, gallery, probe, pairs, [far, RESAMPLES])
    return compute_file(file, partial(_tar, gallery, probe, pairs, far))


def all_pairs_cost(folder: Path, gallery: Tensor, probe: Tensor, pairs: PairSet, ratio: BoundedRatio) -> Any:
    """Compute what the likelihood ratios of one seed cost over all pairs, or read the stored result.

    Args:
        folder: Folder of the stored results.
        gallery: Embeddings of the gallery images of the pairs, (P, E), of unit length.
        probe: Embeddings of the probe images of the pairs, (P, E), of unit length.
        pairs: The list, whose people are known.
        ratio: Likelihood ratio of a cosine, fitted to other people.

    Returns:
        [Cllr, its resamples over people, Cllr_min].

    Raises:
        ValueError: If the people are unknown.
    """
    file = _file(folder, gallery, probe, pairs, ["cost", *ratio, RESAMPLES])
    return compute_file(file, partial(_cost, gallery, probe, pairs, ratio))


def _file(folder: Path, gallery: Tensor, probe: Tensor, pairs: PairSet, settings: list[Any]) -> Path:
    """Return the file of a stored result."""
    if pairs.identity is None:
        raise ValueError(f"The people of {pairs.title} are unknown: there is nothing to measure over all pairs.")
    key = hashlib.sha256(json.dumps(settings).encode())
    for values in (gallery, probe, pairs.gallery, pairs.probe, pairs.identity):
        key.update(values.numpy().tobytes())
    return folder / f"{key.hexdigest()[:16]}.json"


def _tar(gallery: Tensor, probe: Tensor, pairs: PairSet, far: float) -> list[Any] | None:
    matrix = compare_all(gallery, probe, pairs)
    random = torch.Generator().manual_seed(0)
    result = person_resampled_tar(
        matrix.scores, matrix.gallery, matrix.probe, far, random, RESAMPLES, left_out=matrix.left_out
    )
    return None if result is None else [result[0], result[1].tolist()]


def _cost(gallery: Tensor, probe: Tensor, pairs: PairSet, ratio: BoundedRatio) -> list[Any]:
    matrix = compare_all(gallery, probe, pairs)
    row, column = (~matrix.left_out).nonzero(as_tuple=True)
    people = PairsOfPeople(matrix.gallery[row], matrix.probe[column], torch.Generator().manual_seed(0), RESAMPLES)
    scores = matrix.scores[row, column].double().numpy()
    same = people.same.numpy()
    cost, resampled = people.mean_cost(torch.from_numpy(ratio_costs(ratio.log10(scores), same)))
    chosen = with_fewer_strangers(same)
    return [cost, resampled.tolist(), cllr_min(scores[chosen], same[chosen])]


class AllPairs(NamedTuple):
    """All pairs of G gallery images with Q probe images.

    Attributes:
        scores: Cosines, (G, Q).
        gallery: Person of each gallery image, (G,).
        probe: Person of each probe image, (Q,).
        left_out: True for an image with itself, (G, Q) bool.
    """

    scores: Tensor
    gallery: Tensor
    probe: Tensor
    left_out: Tensor


def compare_all(gallery: Tensor, probe: Tensor, pairs: PairSet) -> AllPairs:
    """Compare every gallery image of a list with every probe image.

    Args:
        gallery: Embeddings of the gallery images of the pairs, (P, E), of unit length.
        probe: Embeddings of the probe images of the pairs, (P, E), of unit length.
        pairs: The list.

    Returns:
        All pairs.

    Raises:
        ValueError: If the people are unknown.
    """
    if pairs.identity is None:
        raise ValueError(f"The people of {pairs.title} are unknown: there is nothing to measure over all pairs.")
    gallery_images, probe_images = pairs.gallery.unique(), pairs.probe.unique()  # (G,), (Q,)
    of_gallery = torch.zeros(len(pairs.names), gallery.shape[1])
    of_gallery[pairs.gallery] = gallery
    of_probe = torch.zeros(len(pairs.names), probe.shape[1])
    of_probe[pairs.probe] = probe
    return AllPairs(
        of_gallery[gallery_images] @ of_probe[probe_images].T,
        pairs.identity[gallery_images],
        pairs.identity[probe_images],
        gallery_images[:, None] == probe_images[None, :],
    )
