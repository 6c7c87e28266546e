"""Logistic regression around known log odds: closed forms of a single input, and the law of its gradient."""

import math

import numpy as np
import pytest

from rim_lightning.functional.offset_regression import fit_log_odds, log_odds, sigmoid


def test_an_input_of_two_values_has_a_closed_form():
    """Odds 3 where the input is 1 and the offset says 1: w = log 3. Where it is 0 nothing can be changed."""
    inputs = np.array([[1.0], [0.0]])
    weights = fit_log_odds(inputs, np.zeros(2), np.array([300.0, 7]), np.array([400.0, 100]))
    assert weights.item() == pytest.approx(math.log(3), rel=2e-3)


def test_the_offset_is_taken_as_it_is():
    """Odds 3 where the offset says 1/2: w = log 6."""
    weights = fit_log_odds(np.ones((1, 1)), np.array([-math.log(2)]), np.array([3.0]), np.array([4.0]))
    assert weights.item() == pytest.approx(math.log(6), rel=2e-3)


def test_weights_that_made_the_events_are_found():
    rng = np.random.default_rng(0)
    inputs, offsets, wanted = rng.normal(size=(4000, 3)), rng.normal(size=4000), np.array([1.0, -0.5, 0])
    trials = np.full(4000, 20.0)
    events = rng.binomial(20, sigmoid(offsets + inputs @ wanted)).astype(float)
    weights = fit_log_odds(inputs, offsets, events, trials)
    np.testing.assert_allclose(weights, wanted, atol=0.03)
    stated = trials * sigmoid(offsets + inputs @ weights)
    np.testing.assert_allclose(inputs.T @ stated, inputs.T @ events, atol=20)  # the likelihood is at its greatest


def test_separated_events_have_finite_weights():
    weights = fit_log_odds(np.array([[1.0], [-1.0]]), np.zeros(2), np.array([5.0, 0]), np.array([5.0, 5]))
    assert 3 < weights.item() < 20


def test_log_odds_undo_the_sigmoid():
    odds = np.array([-30.0, -1, 0, 2])
    np.testing.assert_allclose(log_odds(sigmoid(odds)), odds, atol=1e-9)
    assert log_odds(np.array([0.0, 1.0])).tolist() == [-math.inf, math.inf]


@pytest.mark.parametrize(("inputs", "trials"), [([[math.nan]], [1.0]), ([[1.0]], [0.0])])
def test_wrong_input_is_refused(inputs, trials):
    with pytest.raises(ValueError, match="numbers that are finite, and trials"):
        fit_log_odds(np.array(inputs), np.zeros(1), np.zeros(1), np.array(trials))
