"""Logistic regression of counted events around log odds that are known. Imports no torch."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_STEPS = 100
"""Most Newton steps of a fit. It needs about six."""

RIDGE = 1e-4
"""Weight of half the square of each coefficient: it keeps them finite where an input separates the events."""


def fit_log_odds(inputs: Floats, offsets: Floats, events: Floats, trials: Floats) -> Floats:
    """Fit w so that the log odds of an event are offset + w · input.

    Args:
        inputs: (P, K), about standardized.
        offsets: Log odds of an event where the inputs are 0, (P,), finite.
        events: Number of events, (P,).
        trials: Number of trials, (P,), ≥ `events`, some > 0.

    Returns:
        (K,). Very nearly without a penalty, see `RIDGE`.

    Raises:
        ValueError: If a number is not finite, or there is no trial.
    """
    if not all(np.isfinite(values).all() for values in (inputs, offsets, events, trials)) or trials.sum() <= 0:
        raise ValueError("A logistic regression needs numbers that are finite, and trials.")
    shares, wanted = trials / trials.sum(), events / trials.sum()
    penalty = RIDGE * np.eye(inputs.shape[1])
    weights = np.zeros(inputs.shape[1])
    for _ in range(MAX_STEPS):
        probability = sigmoid(offsets + inputs @ weights)
        gradient = inputs.T @ (shares * probability - wanted) + penalty @ weights
        curvature = (inputs.T * (shares * probability * (1 - probability))) @ inputs + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))  # far steps may overshoot
        if np.abs(step).max() < 1e-10:
            break
    return weights


def sigmoid(log_odds: Floats) -> Floats:
    """Return the probability of log odds.

    Example:
        >>> sigmoid(np.log([1.0, 3.0])).tolist()
        [0.5, 0.75]
    """
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))


def log_odds(probability: Floats) -> Floats:
    """Return the log odds of probabilities in [0, 1]; ±∞ of 1 and 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability) - np.log1p(-np.asarray(probability, dtype=np.float64)))
