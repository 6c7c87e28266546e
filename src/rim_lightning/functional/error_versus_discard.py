"""The error-versus-discard characteristic (EDC) of a quality score, ISO/IEC 29794-1. Imports no torch.

It asks of a quality score what its user asks: if the pairs with the worst probes are set aside, how many true pairs of
the others are missed? A score that says nothing leaves the share as it is; the best one sets aside what is missed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def error_versus_discard(
    missed: NDArray[Any],
    pairs: NDArray[Any],
    quality: NDArray[Any],
    shares: NDArray[Any],
    weights: NDArray[Any] | None = None,
) -> Floats:
    """Compute the share of true pairs that are missed if a share of them is discarded, that of the worst probes first.

    Probes of equal quality are discarded in a random order: the curve is the mean over all orders, so that a score of
    few values has no advantage from the order of a file.

    Args:
        missed: Number of true pairs of each probe that lie below the threshold, (N,).
        pairs: Number of all true pairs of each probe, (N,), ≥ `missed`.
        quality: Quality of each probe, (N,), finite; a higher one is better.
        shares: Shares of the pairs that are discarded, (K,), in [0, 1).
        weights: How often each probe counts, (..., N): those of resampled people, for instance. None for once each.

    Returns:
        False reject rate of the pairs that are left, (..., K). NaN if there are none at all.

    Raises:
        ValueError: If shapes differ, a quality is not finite, a share is outside [0, 1), or a probe has more missed
            pairs than pairs.

    Example:
        >>> missed, pairs = np.array([2, 1, 0]), np.array([2, 2, 2])
        >>> error_versus_discard(missed, pairs, np.array([0.1, 0.5, 0.9]), np.array([0, 1 / 3])).round(3)
        array([0.5 , 0.25])
    """
    _check(missed, pairs, quality, shares)
    weights = np.ones(len(quality)) if weights is None else np.asarray(weights, dtype=np.float64)
    levels, level = np.unique(quality, return_inverse=True)
    curves = []
    for row in weights.reshape(-1, len(quality)):
        lost_pairs, lost_missed = (_sums(level, row * counts, len(levels)) for counts in (pairs, missed))
        kept_missed = lost_missed[-1] - np.interp(shares * lost_pairs[-1], lost_pairs, lost_missed)
        kept_pairs = (1 - np.asarray(shares, dtype=np.float64)) * lost_pairs[-1]
        curves.append(np.divide(kept_missed, kept_pairs, out=np.full(len(shares), np.nan), where=kept_pairs > 0))
    return np.stack(curves).reshape(*weights.shape[:-1], len(shares))


def mean_error(curve: NDArray[Any], shares: NDArray[Any]) -> Floats:
    """Return the mean of a curve over the shares: the partial area under the EDC, divided by the range of the shares.

    Args:
        curve: False reject rates, (..., K).
        shares: Shares of discarded pairs, (K,), ascending, K ≥ 2.

    Returns:
        (...). Of a constant score it is the false reject rate itself.

    Example:
        >>> mean_error(np.array([0.4, 0.2, 0.2]), np.array([0, 0.1, 0.3])).round(3).item()
        0.233
    """
    return np.asarray(np.trapezoid(curve, shares, axis=-1) / (shares[-1] - shares[0]))


def _sums(level: NDArray[np.int64], counts: Floats, levels: int) -> Floats:
    """Return the sum of the counts of the lowest levels, from none of them to all, (levels + 1,)."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(level, counts, levels))])


def _check(missed: NDArray[Any], pairs: NDArray[Any], quality: NDArray[Any], shares: NDArray[Any]) -> None:
    if quality.ndim != 1 or not missed.shape == pairs.shape == quality.shape:
        raise ValueError(
            f"Missed pairs, pairs and qualities must be (N,) each, got {missed.shape}, {pairs.shape} and "
            f"{quality.shape}."
        )
    if not np.isfinite(quality).all():
        raise ValueError(f"{int((~np.isfinite(quality)).sum())} of {len(quality)} qualities are not finite.")
    if not ((shares >= 0) & (shares < 1)).all():
        raise ValueError("A share of discarded pairs lies in [0, 1).")
    if not ((missed >= 0) & (missed <= pairs)).all():
        raise ValueError("A probe has more missed pairs than pairs, or fewer than none.")
