"""Likelihood ratios from similarities, and how good they are. Imports no torch.

The likelihood ratio (LR) of a similarity says how many times as probable it is if both pictures show one person than if
they show two. All functions weigh pairs of one person and pairs of two people as if there were as many of both.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_STEPS = 100
"""Most Newton steps of a fit. It needs about ten."""

MAX_STRANGERS = 200_000
"""Most pairs of two people that a likelihood ratio is fitted to. Of more, every n-th is used."""

RIDGE = 1e-8
"""Weight of the square of the standardized slope: it keeps the slope finite where a threshold separates the kinds."""


class LogisticRatio(NamedTuple):
    """log10 LR = intercept + slope · similarity.

    Attributes:
        intercept: log10 LR of a similarity of 0.
        slope: Rise of log10 LR for a similarity greater by 1.
    """

    intercept: float
    slope: float

    def log10(self, scores: Any) -> Any:
        """Return log10 LR of similarities, of their shape."""
        return self.intercept + self.slope * scores


class BoundedRatio(NamedTuple):
    """A `LogisticRatio` that never says more than the people can carry whom it was fitted to.

    Attributes:
        intercept: log10 LR of a similarity of 0.
        slope: Rise of log10 LR for a similarity greater by 1, ≥ 0.
        bound: Greatest absolute value of log10 LR.
    """

    intercept: float
    slope: float
    bound: float

    def log10(self, scores: NDArray[Any]) -> Floats:
        """Return log10 LR of similarities, of their shape."""
        return np.asarray((self.intercept + self.slope * scores).clip(-self.bound, self.bound))


def fit_bounded(scores: NDArray[Any], same: NDArray[np.bool_], people: int) -> BoundedRatio:
    """Fit a logistic regression that does not fall, see `fit_logistic`.

    With N people no ratio beyond N or 1/N is stated: an event that none of them shows may have a probability of 1/N.
    Similarities that mean the opposite mean nothing: their ratio is 1.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a pair of one person.
        people: Number of people whom the pairs show.

    Returns:
        The ratio.

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    intercept, slope = fit_logistic(scores, same)
    bound = math.log10(people)
    return BoundedRatio(intercept, slope, bound) if slope > 0 else BoundedRatio(0.0, 0.0, bound)


def with_fewer_strangers(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose all pairs of one person and at most `MAX_STRANGERS` of two: every n-th.

    Args:
        same: (P,) bool, True for a pair of one person.

    Returns:
        (P,) bool, True for a pair that is chosen.
    """
    chosen = same.copy()
    strangers = np.flatnonzero(~same)
    chosen[strangers[:: max(1, -(-len(strangers) // MAX_STRANGERS))]] = True
    return chosen


def fit_logistic(scores: NDArray[Any], same: NDArray[np.bool_]) -> LogisticRatio:
    """Fit a logistic regression, whose log odds at equal priors are the logarithm of the LR (Brümmer & du Preez 2006).

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a pair of one person.

    Returns:
        Intercept and slope. Very nearly without a penalty, see `RIDGE`.

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    scores, weights = _checked(scores, same)
    center, spread = scores.mean(), scores.std() or 1.0
    inputs = np.stack([np.ones_like(scores), (scores - center) / spread])  # (2, P)
    penalty = np.array([0.0, RIDGE])
    parameters = np.zeros(2)
    for _ in range(MAX_STEPS):
        probability = _sigmoid(parameters @ inputs)
        gradient = inputs @ (weights * (probability - same)) + penalty * parameters
        curvature = (inputs * (weights * probability * (1 - probability))) @ inputs.T + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        parameters -= step * min(1.0, 4.0 / max(np.abs(step).max(), 1e-12))  # far steps may overshoot
        if np.abs(step).max() < 1e-10:
            break
    slope = parameters[1] / spread
    return LogisticRatio(float((parameters[0] - slope * center) / np.log(10)), float(slope / np.log(10)))


def isotonic_log10_ratios(scores: NDArray[Any], same: NDArray[np.bool_]) -> Floats:
    """Compute the LR that rise with the score and fit these pairs best, by pooling adjacent violators (PAV).

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a pair of one person.

    Returns:
        (P,) log10 LR: infinite above all scores of two people, −infinite below all scores of one person.

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    scores, weights = _checked(scores, same)
    _, place = np.unique(scores, return_inverse=True)
    total: Floats = np.bincount(place, weights).astype(np.float64)
    genuine: Floats = np.bincount(place, weights * same).astype(np.float64)
    shares = np.repeat(*_pooled(genuine, total))
    with np.errstate(divide="ignore"):
        return np.asarray((np.log10(shares) - np.log10(1 - shares))[place])


def _pooled(genuine: Floats, total: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Pool neighbors until the shares genuine / total rise: the share and the length of each block, in their order."""
    blocks: list[tuple[float, float, int]] = []
    for own, all_pairs in zip(genuine.tolist(), total.tolist(), strict=True):
        block = (own, all_pairs, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    columns = np.array(blocks)
    # The two kinds of pairs weigh 1 each, so that a block without one of them has a share of exactly 0 or 1.
    return np.clip(columns[:, 0] / columns[:, 1], 0, 1), columns[:, 2].astype(np.int64)


def ratio_costs(log10_ratios: Floats, same: NDArray[np.bool_]) -> Floats:
    """Return what each LR costs, in bits: log2(1 + 1/LR) for a pair of one person, log2(1 + LR) for one of two.

    Args:
        log10_ratios: (P,) log10 LR.
        same: (P,) bool, True for a pair of one person.

    Returns:
        (P,) ≥ 0. An LR of 1 costs 1 bit.
    """
    odds = np.log(10) * np.asarray(log10_ratios, dtype=np.float64)
    return np.asarray(np.logaddexp(0, np.where(same, -odds, odds)) / np.log(2))


def cllr(log10_ratios: NDArray[Any], same: NDArray[np.bool_]) -> float:
    """Compute the cost of LRs (Brümmer & du Preez 2006): the mean of both kinds' mean `ratio_costs`.

    Args:
        log10_ratios: (P,) log10 LR, not NaN.
        same: (P,) bool, True for a pair of one person.

    Returns:
        0 for LRs that are always right and infinite, 1 for LRs of 1, which say nothing; more than 1 is misleading.

    Raises:
        ValueError: If shapes differ, an LR is NaN or one kind of pair is missing.

    Example:
        >>> cllr(np.zeros(3), np.array([True, False, False]))
        1.0
    """
    _check(log10_ratios, same)
    costs = ratio_costs(log10_ratios, same)
    return float((costs[same].mean() + costs[~same].mean()) / 2)


def cllr_min(scores: NDArray[Any], same: NDArray[np.bool_]) -> float:
    """Compute the least `cllr` that any rising function of the scores has: what is lost for want of discrimination.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a pair of one person.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    return cllr(isotonic_log10_ratios(scores, same), same)


def empirical_cross_entropy(log10_ratios: NDArray[Any], same: NDArray[np.bool_], prior_log10_odds: Floats) -> Floats:
    """Compute the cross-entropy of the posteriors (ECE, Ramos et al. 2013) over the prior odds: `cllr` is that at 0.

    Args:
        log10_ratios: (P,) log10 LR, not NaN.
        same: (P,) bool, True for a pair of one person.
        prior_log10_odds: (K,) log10 of the odds of one person against two.

    Returns:
        (K,) in bits.

    Raises:
        ValueError: If shapes differ, an LR is NaN or one kind of pair is missing.
    """
    _check(log10_ratios, same)
    prior = _sigmoid(np.log(10) * np.asarray(prior_log10_odds))
    costs = [ratio_costs(log10_ratios + odds, same) for odds in prior_log10_odds]
    of_one, of_two = ([cost[kind].mean() for cost in costs] for kind in (same, ~same))
    return np.asarray(prior * of_one + (1 - prior) * of_two)


def _checked(scores: NDArray[Any], same: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the scores and the weights of the pairs, those of each kind together 1."""
    _check(scores, same)
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite.")
    return np.asarray(scores, dtype=np.float64), np.where(same, 1 / same.sum(), 1 / (~same).sum())


def _check(scores: NDArray[Any], same: NDArray[np.bool_]) -> None:
    if scores.ndim != 1 or scores.shape != same.shape or same.dtype != np.bool_:
        raise ValueError(
            f"Scores must be (P,) and labels (P,) bool, got {scores.shape} and {same.shape} of {same.dtype}."
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} numbers are NaN.")
    if same.all() or not same.any():
        raise ValueError("A likelihood ratio needs pairs of one person and pairs of two people; one kind is missing.")


def _sigmoid(odds: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -odds)))
