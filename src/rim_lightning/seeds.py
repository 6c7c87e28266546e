"""Training seeds as repetitions: the interval of a mean over them."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def seed_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float, float]:
    """Compute the mean of a figure over n training seeds and its t-interval.

    The interval is mean ± t · std / √n, with t of n − 1 degrees of freedom.

    Args:
        values: n ≥ 2 finite numbers, one per seed.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Mean, standard deviation (n − 1 in the denominator), lower end and upper end.

    Raises:
        ValueError: If there are fewer than two values, one is not finite or level is not in (0, 1).

    Example:
        >>> [round(figure, 2) for figure in seed_interval([1.0, 2.0, 3.0])]  # t with 2 degrees of freedom is 4.30
        [2.0, 1.0, -0.48, 4.48]
    """
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"An interval over seeds needs two or more finite values, got {list(values)}.")
    if not 0 < level < 1:
        raise ValueError(f"The coverage is {level}; it must lie in (0, 1).")
    mean, std = fmean(values), stdev(values)
    margin = student_quantile(len(values) - 1, level) * std / math.sqrt(len(values))
    return mean, std, mean - margin, mean + margin


def student_quantile(freedom: int, level: float) -> float:
    """Find t with P(|T| ≤ t) = level by bisection of the angle θ = atan(t / √freedom).

    Args:
        freedom: Degrees of freedom of Student's T, ≥ 1.
        level: Probability, in (0, 1).
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _student_coverage(freedom, middle) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _student_coverage(freedom: int, angle: float) -> float:
    """Compute P(|T| ≤ √freedom · tan(angle)), a finite sum (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
