"""Squared multi-kernel maximum mean discrepancy, MK-MMD (RIM Eq 7, 8, 9; Gretton et al., JMLR 2012)."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rim_lightning.functional.precision import full_precision

Estimator = Literal["unbiased", "biased", "linear"]
Statistic = Literal["median", "mean"]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Compute the squared Euclidean distances of all rows in Gram form, ‖x‖² + ‖y‖² − 2xy.

    Subtract a common point from both first: far from the origin the Gram form loses its digits.

    Args:
        x: (n, D).
        y: (m, D).

    Returns:
        (n, m), each ≥ 0.
    """
    norms = x.square().sum(1)[:, None] + y.square().sum(1)[None, :]
    return (norms - 2 * x @ y.T).clamp(min=0)


def joint_bandwidth(x: Tensor, y: Tensor, statistic: Statistic = "median") -> Tensor:
    """Compute the bandwidth σ of the kernel exp(−d² / (2σ)) from the squared distances of the joint set.

    σ is a variance, in squared units of the features (Eq 9): the median or mean of d² over all pairs of distinct rows
    of x and y together. It is at least the machine epsilon, so that a kernel of equal rows does not divide by zero.

    Args:
        x: Features of one domain, (n, D).
        y: Features of the other domain, (m, D), with n + m ≥ 2.
        statistic: "median" or "mean". The median of an even count is the lower of the two middle values.

    Returns:
        Scalar without gradient, float32 (float64 for float64 features).

    Raises:
        ValueError: If the statistic is unknown or there are fewer than two rows.

    Example:
        >>> joint_bandwidth(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]))  # the median of 1, 4 and 9
        tensor(4.)
    """
    if len(x) + len(y) < 2:
        raise ValueError(f"A bandwidth needs two rows or more, x and y have {len(x)} and {len(y)}.")
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        joint = _centered_union(x, y)
        rows, columns = torch.triu_indices(len(joint), len(joint), offset=1, device=joint.device)
        distances = squared_distances(joint, joint)[rows, columns]
        if statistic == "median":
            value = distances.median()
        elif statistic == "mean":
            value = distances.mean()
        else:
            raise ValueError(f"The bandwidth statistic is {statistic!r}; choose 'median' or 'mean'.")
        return value.clamp(min=torch.finfo(value.dtype).eps)


def mk_mmd(x: Tensor, y: Tensor, bandwidths: Tensor, weights: Tensor, estimator: Estimator = "unbiased") -> Tensor:
    """Compute the squared MK-MMD of two samples under k = Σ_u β_u exp(−d² / (2σ_u)) (Eq 7, 8, 9).

    The joint mean is subtracted first: it does not change the MMD, but it would cost digits in the Gram matrix. All
    kernels share one matrix of distances. Autocast is off.

    Args:
        x: Features of one domain, (n, D).
        y: Features of the other domain, (m, D).
        bandwidths: σ_u > 0, (U,), variances in squared units of the features.
        weights: β_u > 0, (U,), of sum 1.
        estimator: "unbiased" leaves out the pairs of a row with itself, has mean 0 for equal distributions and can be
            negative. "biased" (the paper) keeps them and is never negative. "linear" averages over the n/2 disjoint
            pairs of consecutive rows in O(n) (Gretton et al. 2012, Lemma 14); an odd last row is left out.

    Returns:
        Scalar with gradient to x, y and weights, float32 (float64 for float64 features).

    Raises:
        ValueError: If shapes do not fit, the estimator is unknown, "unbiased" or "linear" has fewer than two rows in a
            domain, or "linear" has unequal numbers of rows.

    Example:
        >>> x, y = torch.zeros(2, 1), torch.full((2, 1), 2.0)
        >>> round(mk_mmd(x, y, torch.tensor([2.0]), torch.tensor([1.0])).item(), 4)  # 1 + 1 − 2 exp(−4 / 4)
        1.2642
    """
    _check(x, y, bandwidths, weights)
    if estimator not in ("unbiased", "biased", "linear"):
        raise ValueError(f"The MMD estimator is {estimator!r}; choose 'unbiased', 'biased' or 'linear'.")
    n, m = len(x), len(y)
    if estimator != "biased" and min(n, m) < 2:
        raise ValueError(f"The {estimator} MMD needs two rows or more of each domain, got {n} and {m}.")
    if estimator == "linear" and n != m:
        raise ValueError(f"The linear MMD needs as many rows of x as of y, got {n} and {m}.")
    with torch.autocast(x.device.type, enabled=False):
        joint = _centered_union(x, y)
        if estimator == "linear":
            return _linear(joint[:n], joint[n:], bandwidths, weights)
        kernel = _kernel(squared_distances(joint, joint), bandwidths, weights)
        within_x, within_y, between = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
        if estimator == "biased":
            return within_x.mean() + within_y.mean() - 2 * between.mean()
        mean_x = (within_x.sum() - within_x.trace()) / (n * (n - 1))
        mean_y = (within_y.sum() - within_y.trace()) / (m * (m - 1))
        return mean_x + mean_y - 2 * between.mean()


class PermutationTest(NamedTuple):
    """Result of `permutation_test`.

    Attributes:
        mmd: Squared MK-MMD, unbiased; can be negative.
        p_value: In (0, 1]. Near 0, x and y do not have the same distribution.
    """

    mmd: float
    p_value: float


@torch.no_grad()
def permutation_test(
    x: Tensor,
    y: Tensor,
    bandwidths: Tensor,
    weights: Tensor,
    permutations: int,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> PermutationTest:
    """Test by permutations whether x and y have the same distribution. The statistic is the unbiased MK-MMD.

    The kernel matrix is computed once; a permutation only assigns its rows to the two domains at random. The p-value is
    (1 + number of permutations whose MMD is ≥ the observed one) / (1 + permutations).

    Args:
        x: Features of one domain, (n, D).
        y: Features of the other domain, (m, D).
        bandwidths: σ_u > 0, (U,), see `mk_mmd`.
        weights: β_u > 0, (U,), of sum 1.
        permutations: Number of permutations, ≥ 1. The smallest p-value is 1 / (permutations + 1).
        generator: Source of the random numbers, on the CPU.
        groups: Group of each row of x, then of y, (n + m,) integers. Rows of one group, such as pictures of one person,
            are more alike than others: they stay in one domain, and their pairs do not count. None makes every row its
            own group.

    Returns:
        The squared MK-MMD and the p-value.

    Raises:
        ValueError: If shapes do not fit, a domain has fewer than two groups, a group is in both domains or permutations
            is below 1.
    """
    _check(x, y, bandwidths, weights)
    n, m = len(x), len(y)
    names, group = (torch.arange(n + m) if groups is None else groups).unique(return_inverse=True)
    of_x = torch.zeros(len(names), dtype=torch.bool)  # (groups,)
    of_x[group[:n]] = True
    count = int(of_x.sum())
    if of_x[group[n:]].any():
        raise ValueError("A group of the permutation test has rows in both domains.")
    if min(count, len(names) - count) < 2 or permutations < 1:
        raise ValueError(
            f"The test needs two rows or groups per domain and one permutation, got {count}, {len(names) - count} and "
            f"{permutations}."
        )
    with torch.autocast(x.device.type, enabled=False):
        joint = _centered_union(x, y).double()
        apart = (group[:, None] != group).double()
        kernel = _kernel(squared_distances(joint, joint), bandwidths, weights) * apart
        shuffled = torch.rand(permutations, len(names), generator=generator).argsort(1) < count
        in_x = torch.cat([of_x[None], shuffled])[:, group].double()  # (1 + permutations, n + m), first row as observed
        sums, pairs = _by_domain(kernel, in_x), _by_domain(apart, in_x)
        within_x, within_y, between = (total / number for total, number in zip(sums, pairs, strict=True))
        values = within_x + within_y - 2 * between
        # Permutations that only swap rows within a domain equal the observed one up to round-off.
        not_below = values[1:] >= values[0] - 1e-12
        return PermutationTest(values[0].item(), (1 + int(not_below.sum())) / (1 + permutations))


def _by_domain(matrix: Tensor, in_x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of a symmetric matrix over the pairs within x, within y and between them: three (1 + permutations,)."""
    to_x = in_x @ matrix
    within_x = (to_x * in_x).sum(1)
    between = (to_x * (1 - in_x)).sum(1)
    return within_x, matrix.sum() - within_x - 2 * between, between


def _check(x: Tensor, y: Tensor, bandwidths: Tensor, weights: Tensor) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"The MMD compares (n, D) with (m, D), got {tuple(x.shape)} and {tuple(y.shape)}.")
    if bandwidths.ndim != 1 or bandwidths.shape != weights.shape:
        raise ValueError(
            f"bandwidths and weights are two vectors of one length, got {tuple(bandwidths.shape)} and "
            f"{tuple(weights.shape)}."
        )


def _centered_union(x: Tensor, y: Tensor) -> Tensor:
    """Rows of x, then of y, minus their joint mean, (n + m, D). The mean has no gradient: the MMD ignores shifts."""
    joint = torch.cat([full_precision(x), full_precision(y)])
    return joint - joint.detach().mean(0)


def _kernel(distances: Tensor, bandwidths: Tensor, weights: Tensor) -> Tensor:
    """Σ_u β_u exp(−d² / (2σ_u)) of squared distances of any shape."""
    total = torch.zeros_like(distances)
    for bandwidth, weight in zip(bandwidths.to(distances), weights.to(distances), strict=True):
        total = total + weight * torch.exp(-distances / (2 * bandwidth))
    return total


def _linear(x: Tensor, y: Tensor, bandwidths: Tensor, weights: Tensor) -> Tensor:
    pairs = len(x) // 2
    x_even, x_odd = x[0 : 2 * pairs : 2], x[1 : 2 * pairs : 2]
    y_even, y_odd = y[0 : 2 * pairs : 2], y[1 : 2 * pairs : 2]
    distances = torch.stack(
        [(a - b).square().sum(1) for a, b in [(x_even, x_odd), (y_even, y_odd), (x_even, y_odd), (x_odd, y_even)]]
    )
    within_x, within_y, between, across = _kernel(distances, bandwidths, weights)
    return (within_x + within_y - between - across).mean()
