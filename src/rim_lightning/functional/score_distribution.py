"""Cumulative score distribution of image quality: the curves of Figure 4 of the RIM paper."""

import torch
from torch import Tensor


def cumulative_score_distribution(scores: Tensor, grid: Tensor) -> Tensor:
    """Compute the share of test images whose score is ≥ x, for each x of a grid. It falls as x grows.

    Args:
        scores: PSNR in dB or SSIM, (N,), one per image. Infinite for an image without error.
        grid: Finite values of x, (M,), in the unit of the scores and in any order.

    Returns:
        (M,) float64 in [0, 1].

    Raises:
        ValueError: If there are no scores or one is NaN.

    Example:
        >>> cumulative_score_distribution(torch.tensor([20.0, 25.0, 30.0]), torch.tensor([0.0, 25.0, 31.0]))
        tensor([1.0000, 0.6667, 0.0000], dtype=torch.float64)
    """
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"A distribution needs a vector of scores, got shape {tuple(scores.shape)}.")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {len(scores)} scores are NaN.")
    below = torch.searchsorted(scores.double().sort().values, grid.double())
    return 1 - below.double() / len(scores)
