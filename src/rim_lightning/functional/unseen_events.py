"""What may happen to other people although it happened to none of those who were counted. Imports no torch."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TAIL = 0.025
"""Share of the cases in which the true rate lies beyond one end of a 95 % interval."""


def with_unseen_events(interval: ArrayLike, people: ArrayLike) -> NDArray[np.float64]:
    """Widen intervals of shares that were 0, or 1, in every resample: resamples know no event that nobody shows.

    The other end is then that of Clopper and Pearson (Biometrika 26, 1934): with a rate of 1 − 0.025^(1/N), none of N
    people shows the event in 2.5 % of the cases.

    Args:
        interval: (..., 2), low and high ends of 95 % intervals over people.
        people: (...), number of people who were counted, > 0.

    Returns:
        (..., 2), other intervals as they are.

    Example:
        >>> with_unseen_events([[0.0, 0.0], [0.1, 0.2], [1.0, 1.0]], 100).round(3).tolist()
        [[0.0, 0.036], [0.1, 0.2], [0.964, 1.0]]
    """
    low, high = np.moveaxis(np.asarray(interval, dtype=np.float64), -1, 0)
    never = TAIL ** (1 / np.asarray(people, dtype=np.float64))
    return np.stack([np.where(low >= 1, never, low), np.where(high <= 0, 1 - never, high)], axis=-1)
