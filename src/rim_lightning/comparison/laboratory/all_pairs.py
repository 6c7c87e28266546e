"""Verification over ALL pairs of a gallery with a probe image of a list."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.compute_once import compute_file
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import person_resampled_tar

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
    if pairs.identity is None:
        raise ValueError(f"The people of {pairs.title} are unknown: there is no TAR over all pairs.")
    key = hashlib.sha256(json.dumps([far, RESAMPLES]).encode())
    for values in (gallery, probe, pairs.gallery, pairs.probe, pairs.identity):
        key.update(values.numpy().tobytes())
    compute = partial(_compute, gallery, probe, pairs, pairs.identity, far)
    return compute_file(folder / f"{key.hexdigest()[:16]}.json", compute)


def _compute(gallery: Tensor, probe: Tensor, pairs: PairSet, identity: Tensor, far: float) -> list[Any] | None:
    gallery_images, probe_images = pairs.gallery.unique(), pairs.probe.unique()  # (G,), (Q,)
    of_gallery = torch.zeros(len(pairs.names), gallery.shape[1])
    of_gallery[pairs.gallery] = gallery
    of_probe = torch.zeros(len(pairs.names), probe.shape[1])
    of_probe[pairs.probe] = probe
    scores = of_gallery[gallery_images] @ of_probe[probe_images].T  # (G, Q)
    result = person_resampled_tar(
        scores,
        identity[gallery_images],
        identity[probe_images],
        far,
        torch.Generator().manual_seed(0),
        RESAMPLES,
        left_out=gallery_images[:, None] == probe_images[None, :],
    )
    return None if result is None else [result[0], result[1].tolist()]
