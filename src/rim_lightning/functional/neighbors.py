"""Interpolation over the logarithm. Imports no torch."""

import math
from collections.abc import Sequence


def log_neighbors(values: Sequence[float], value: float) -> list[tuple[int, float]]:
    """Return (index, weight) of the one or two of the ascending `values` that `value` lies between, over the logarithm.

    A value beyond the ends counts as the end.

    Example:
        >>> log_neighbors((8, 32), 16)
        [(0, 0.5), (1, 0.5)]
    """
    value = min(max(value, values[0]), values[-1])
    above = next(index for index, other in enumerate(values) if other >= value)
    if values[above] == value:
        return [(above, 1.0)]
    share = math.log(value / values[above - 1]) / math.log(values[above] / values[above - 1])
    return [(above - 1, 1 - share), (above, share)]
