"""Figures of face verification from the scores of pairs: accuracy over folds, TAR at FAR, EER, ROC.

Every function accepts a pair if its score ≥ threshold.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.precision import full_precision

FALSE_ACCEPT_RATES = {"tar_at_far_1e-1": 1e-1, "tar_at_far_1e-2": 1e-2, "tar_at_far_1e-3": 1e-3}
"""Name of a figure -> false accept rate at which it is the true accept rate."""


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cosine of each pair of embeddings.

    Args:
        a: Embeddings, (B, E), not necessarily normalized.
        b: Embeddings to compare with, (B, E).

    Returns:
        (B,) in [-1, 1], at least float32.
    """
    return F.cosine_similarity(full_precision(a), full_precision(b), dim=1)


def kfold_accuracy(scores: Tensor, same: Tensor, folds: Tensor) -> tuple[float, float, Tensor]:
    """Compute the accuracy of the LFW View 2 protocol. The threshold of a fold is chosen on the other folds.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.
        folds: Fold of each pair, (P,) integers with at least two different values. No person should be in two folds.

    Returns:
        Mean accuracy of the F folds; standard deviation of the accuracies, with F − 1 in the denominator (LFW reports
        the standard error, this / √F); thresholds, (F,) float64, in ascending order of the fold numbers.

    Raises:
        ValueError: If shapes differ, a score is not finite or there are fewer than two folds.
    """
    correct, thresholds = kfold_decisions(scores, same, folds)
    accuracies = torch.stack([correct[folds == fold].double().mean() for fold in folds.unique()])
    return accuracies.mean().item(), accuracies.std().item(), thresholds


def kfold_decisions(scores: Tensor, same: Tensor, folds: Tensor) -> tuple[Tensor, Tensor]:
    """Find the pairs that the View 2 protocol decides correctly, for intervals and paired comparisons of two models.

    The candidates for a threshold are the midpoints between consecutive different scores of the other folds, one value
    below all scores and one above. If several candidates are equally accurate there, the lowest is used.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.
        folds: Fold of each pair, (P,) integers with at least two different values.

    Returns:
        Correctness of each pair, (P,) bool; thresholds, (F,) float64, in ascending order of the fold numbers.

    Raises:
        ValueError: If shapes differ, a score is not finite or there are fewer than two folds.
    """
    _check(scores, same)
    if folds.shape != scores.shape:
        raise ValueError(f"Give one fold per pair, got {tuple(folds.shape)} folds for {tuple(scores.shape)} scores.")
    names = folds.unique()
    if len(names) < 2:
        raise ValueError("A threshold is chosen on the OTHER folds: give two folds or more.")
    scores = scores.double()
    correct = torch.zeros_like(same)
    thresholds = []
    for fold in names:
        held_out = folds == fold
        threshold = _most_accurate_threshold(scores[~held_out], same[~held_out])
        correct[held_out] = (scores[held_out] >= threshold) == same[held_out]
        thresholds.append(threshold)
    return correct, torch.stack(thresholds)


def roc_curve(scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute FAR and TAR at every threshold that makes a difference, from "accept nothing" to "accept all".

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair. Both kinds of pairs are needed.

    Returns:
        FAR, TAR and thresholds, (T,) float64 each. The first entry is at threshold infinity with FAR = TAR = 0; one
        entry for each different score follows, in descending order of the thresholds.

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    _check(scores, same)
    genuine, impostor = _counts_by_score(scores, same)
    if genuine.sum() == 0 or impostor.sum() == 0:
        raise ValueError("An ROC needs genuine and impostor pairs; one kind is missing.")
    thresholds = scores.double().unique().flip(0)
    tar = genuine.flip(0).cumsum(0) / genuine.sum()
    far = impostor.flip(0).cumsum(0) / impostor.sum()
    zero = torch.zeros_like(tar[:1])
    return torch.cat([zero, far]), torch.cat([zero, tar]), torch.cat([zero + math.inf, thresholds])


def threshold_at_far(scores: Tensor, same: Tensor, far: float) -> float:
    """Find the lowest threshold that accepts at most a share `far` of the impostor pairs.

    It is the next larger number, in the precision of the scores, after the highest impostor score that must be refused.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair. Genuine pairs are not used.
        far: False accept rate in [0, 1). Below 1 / (number of impostor pairs) no impostor pair is accepted.

    Returns:
        The threshold.

    Raises:
        ValueError: If shapes differ, a score is not finite, there is no impostor pair or far is not in [0, 1).

    Example:
        >>> scores = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.8])
        >>> same = torch.tensor([False, False, False, False, True])
        >>> threshold = threshold_at_far(scores, same, far=0.25)  # one of the four impostors may pass
        >>> scores >= threshold
        tensor([False, False, False,  True,  True])
    """
    _check(scores, same)
    impostors = scores[~same].sort(descending=True).values
    allowed = _allowed_impostors(len(impostors), far)
    return torch.nextafter(impostors[allowed], impostors.new_tensor(math.inf)).item()


def thresholds_at_fars(scores: Tensor, same: Tensor, fars: Sequence[float], min_impostors: int = 10) -> list[float]:
    """Find the threshold of each of some false accept rates, with one sorting of the scores; see `threshold_at_far`.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair. Genuine pairs are not used.
        fars: False accept rates in [0, 1).
        min_impostors: Smallest number of impostor pairs that a rate must allow above its threshold.

    Returns:
        The thresholds; NaN for a rate that allows fewer pairs.

    Raises:
        ValueError: If shapes differ, a score is not finite, there is no impostor pair or a rate is not in [0, 1).
    """
    _check(scores, same)
    impostors = scores[~same].sort(descending=True).values
    allowed = [_allowed_impostors(len(impostors), far) for far in fars]
    infinity = impostors.new_tensor(math.inf)
    return [
        torch.nextafter(impostors[count], infinity).item() if count >= min_impostors else math.nan for count in allowed
    ]


def tar_at_far(scores: Tensor, same: Tensor, far: float, min_impostors: int = 10) -> tuple[float, float] | None:
    """Compute the true accept rate at a false accept rate, unless too few impostor pairs would decide it.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.
        far: False accept rate in [0, 1).
        min_impostors: Smallest number of impostor pairs that `far` must allow above the threshold.

    Returns:
        TAR in [0, 1] and threshold; None if far × (number of impostor pairs) < `min_impostors`.

    Raises:
        ValueError: If shapes differ, a score is not finite, one kind of pair is missing or far is not in [0, 1).
    """
    _check(scores, same)
    if not same.any():
        raise ValueError("A true accept rate needs genuine pairs; there is none.")
    if _allowed_impostors(int((~same).sum()), far) < min_impostors:
        return None
    threshold = threshold_at_far(scores, same, far)
    return (scores[same] >= threshold).double().mean().item(), threshold


def equal_error_rate(scores: Tensor, same: Tensor) -> float:
    """Compute the equal error rate: FAR where FAR = 1 − TAR on the ROC, whose points are joined by straight lines.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.

    Returns:
        Rate in [0, 1].

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.
    """
    far, tar, _ = roc_curve(scores, same)
    return curve_eer(far, tar)


def curve_eer(far: Tensor, tar: Tensor) -> float:
    """Compute the equal error rate of an ROC, see `equal_error_rate`.

    Args:
        far: False accept rates, (T,), ascending from 0 to 1.
        tar: True accept rates, (T,), likewise.

    Returns:
        Rate in [0, 1].
    """
    gap = far - (1 - tar)  # ascends from -1 to 1
    after = int((gap >= 0).nonzero()[0])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return (far[after - 1] + share * (far[after] - far[after - 1])).item()


def roc_auc(scores: Tensor, same: Tensor) -> float:
    """Compute the area under the ROC: the probability that a genuine pair scores higher than an impostor pair.

    A tie counts half.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.

    Returns:
        Area in [0, 1].

    Raises:
        ValueError: If shapes differ, a score is not finite or one kind of pair is missing.

    Example:
        >>> scores, same = torch.tensor([0.8, 0.3, 0.5, 0.1]), torch.tensor([True, True, False, False])
        >>> roc_auc(scores, same)  # of four comparisons only 0.3 > 0.5 is wrong
        0.75
    """
    far, tar, _ = roc_curve(scores, same)
    return curve_area(far, tar)


def curve_area(far: Tensor, tar: Tensor) -> float:
    """Compute the area under an ROC, see `roc_auc`.

    Args:
        far: False accept rates, (T,), ascending from 0 to 1.
        tar: True accept rates, (T,), likewise.

    Returns:
        Area in [0, 1].
    """
    return torch.trapezoid(tar, far).item()


def _check(scores: Tensor, same: Tensor) -> None:
    if scores.ndim != 1 or scores.shape != same.shape or same.dtype != torch.bool:
        raise ValueError(
            f"Scores must be (P,) and labels (P,) bool, got {tuple(scores.shape)} and {tuple(same.shape)} {same.dtype}."
        )
    if not scores.isfinite().all():
        raise ValueError(f"{int((~scores.isfinite()).sum())} of {len(scores)} scores are not finite.")


def _counts_by_score(scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of genuine and of impostor pairs at each different score, in ascending order: two (U,) float64."""
    distinct, place = scores.double().unique(return_inverse=True)
    genuine = torch.zeros_like(distinct).index_add_(0, place, same.double())
    impostor = torch.zeros_like(distinct).index_add_(0, place, (~same).double())
    return genuine, impostor


def _most_accurate_threshold(scores: Tensor, same: Tensor) -> Tensor:
    distinct = scores.unique()
    genuine, impostor = _counts_by_score(scores, same)
    zero = genuine.new_zeros(1)
    # One entry for the candidate below all scores, each midpoint and the candidate above all scores.
    refused_genuine = torch.cat([zero, genuine.cumsum(0)])
    refused_impostor = torch.cat([zero, impostor.cumsum(0)])
    correct = genuine.sum() - refused_genuine + refused_impostor
    midpoints = (distinct[:-1] + distinct[1:]) / 2
    candidates = torch.cat([distinct[:1] - 1, midpoints, distinct[-1:] + 1])
    return candidates[int((correct == correct.max()).nonzero()[0])]


def _allowed_impostors(impostors: int, far: float) -> int:
    if impostors == 0:
        raise ValueError("A false accept rate needs impostor pairs; there is none.")
    if not 0 <= far < 1:
        raise ValueError(f"The false accept rate is {far}; it must lie in [0, 1).")
    return math.floor(far * impostors + 1e-9)  # 0.3 * 10 must give 3 in spite of round-off
