"""Figures of verification of one system, from the scores of its pairs."""

import torch
from torch import Tensor

from rim_lightning.functional.bootstrap import bootstrap_interval
from rim_lightning.functional.verification import (
    FALSE_ACCEPT_RATES,
    equal_error_rate,
    kfold_accuracy,
    kfold_decisions,
    roc_auc,
    tar_at_far,
)


def verification_figures(scores: Tensor, same: Tensor, fold: Tensor) -> dict[str, float]:
    """Return the figures of one system.

    Args:
        scores: Cosines of the pairs, (P,).
        same: Which pairs are genuine, (P,) bool.
        fold: Fold of each pair, (P,) int.

    Returns:
        "accuracy" (threshold of the other folds), "accuracy_std" (over folds), "accuracy_low" and "accuracy_high"
        (95 % bootstrap over pairs), "eer", "auc" and "tar_at_far_…" for those FARs at which at least 10 impostor pairs
        are accepted.
    """
    accuracy, spread, _ = kfold_accuracy(scores, same, fold)
    correct, _ = kfold_decisions(scores, same, fold)
    low, high = bootstrap_interval(correct, torch.Generator().manual_seed(0))
    figures = {"accuracy": accuracy, "accuracy_std": spread, "accuracy_low": low, "accuracy_high": high}
    return figures | threshold_figures(scores, same)


def threshold_figures(scores: Tensor, same: Tensor) -> dict[str, float]:
    """Return those figures of one system that need no folds.

    Args:
        scores: Scores of the pairs, (P,).
        same: Which pairs are genuine, (P,) bool.

    Returns:
        "eer", "auc" and "tar_at_far_…", see `verification_figures`.
    """
    figures = {"eer": equal_error_rate(scores, same), "auc": roc_auc(scores, same)}
    for name, far in FALSE_ACCEPT_RATES.items():
        rate = tar_at_far(scores, same, far)
        if rate is not None:
            figures[name] = rate[0]
    return figures
