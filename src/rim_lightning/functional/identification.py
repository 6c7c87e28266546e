"""Closed-set identification: the rank at which a gallery search finds the right person."""

import torch
from torch import Tensor

from rim_lightning.types import NO_IDENTITY


def first_ranks(scores: Tensor, probe_identity: Tensor, gallery_identity: Tensor) -> Tensor:
    """Compute the rank of the right person for each probe whose person is in the gallery.

    The rank is 1 + the number of gallery images of OTHER people whose score is ≥ that of the best image of the probe's
    own person. If a person has several images, the best one counts; a tie counts against the probe. The cumulative
    match characteristic at r is the share of ranks ≤ r.

    Args:
        scores: (P, G), not NaN; a higher score means more alike.
        probe_identity: Person of each probe, (P,) int64. Probes without identity, or whose person is not in the
            gallery, are left out.
        gallery_identity: Person of each gallery image, (G,) int64. `NO_IDENTITY` marks a distractor, whose person
            differs from that of every probe.

    Returns:
        (K,) int64, the ranks of the K remaining probes in their order.

    Raises:
        ValueError: If shapes differ, a score is NaN or no probe remains.

    Example:
        >>> scores = torch.tensor([[0.9, 0.2, 0.5], [0.3, 0.8, 0.4]])
        >>> first_ranks(scores, torch.tensor([7, 9]), torch.tensor([7, 8, 9]))  # the second probe: 0.8 is above its 0.4
        tensor([1, 2])
    """
    if scores.shape != (len(probe_identity), len(gallery_identity)):
        raise ValueError(
            f"{len(probe_identity)} probes and {len(gallery_identity)} gallery images, but scores "
            f"{tuple(scores.shape)}; they are (probes, gallery)."
        )
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} scores are NaN.")
    has_mate = torch.isin(probe_identity, gallery_identity) & (probe_identity != NO_IDENTITY)
    if not has_mate.any():
        raise ValueError(f"None of the {len(probe_identity)} probes shows a person of the gallery.")
    # One probe at a time: a mask as large as the scores of TinyFace would take 600 MB.
    rows = zip(scores[has_mate], probe_identity[has_mate], strict=True)
    return torch.stack([_rank(row, gallery_identity == person) for row, person in rows])


def _rank(scores: Tensor, mate: Tensor) -> Tensor:
    return 1 + (scores[~mate] >= scores[mate].max()).sum()
