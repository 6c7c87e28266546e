"""Closed-set identification: at which rank the right person comes up in a gallery."""

import torch
from torch import Tensor

from rim_lightning.types import NO_IDENTITY


def first_ranks(scores: Tensor, probe_identity: Tensor, gallery_identity: Tensor) -> Tensor:
    """(K,) int64: the rank of each of the K probes whose person is in the gallery, in their order.

    The rank of a probe is 1 + the number of gallery images of OTHER people whose score is at or above that of the best
    image of its own person: of several images of a person the best counts, and a tie counts against the probe.

    The cumulative match characteristic at r is the share of ranks that are at most r.

    Args:
        scores: (P, G), not NaN, higher is more alike.
        probe_identity: (P,) int64. A probe without identity, or whose person is not in the gallery, is left out.
        gallery_identity: (G,) int64; `NO_IDENTITY` is a distractor, another person than every probe.

    Raises:
        ValueError: if shapes differ, a score is NaN or no probe remains.

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
    known = torch.isin(probe_identity, gallery_identity) & (probe_identity != NO_IDENTITY)
    if not known.any():
        raise ValueError(f"None of the {len(probe_identity)} probes shows a person of the gallery.")
    # One probe at a time: a mask as large as the scores of TinyFace would be 600 MB.
    pairs = zip(scores[known], probe_identity[known], strict=True)
    return torch.stack([_rank(row, gallery_identity == person) for row, person in pairs])


def _rank(scores: Tensor, mate: Tensor) -> Tensor:
    return 1 + (scores[~mate] >= scores[mate].max()).sum()
