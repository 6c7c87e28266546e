"""Error versus discard: hand values, discarding one probe after another, and laws that the curve must obey."""

import numpy as np
import pytest

from rim_lightning.functional.error_versus_discard import error_versus_discard, mean_error

QUARTERS = np.array([0, 0.25, 0.5, 0.75])


def curve(missed, pairs, quality, shares=QUARTERS, weights=None):
    return error_versus_discard(np.array(missed), np.array(pairs), np.array(quality), np.array(shares), weights)


def test_four_probes_by_hand():
    """Missed of pairs: 4 of 4, 1 of 2, 1 of 4, 0 of 2. The worst first: a sixth is 2 of 12 pairs, a third is 4."""
    missed, pairs, shares = [1, 4, 0, 1], [4, 4, 2, 2], [0, 1 / 6, 1 / 3, 1 / 2, 5 / 6]
    np.testing.assert_allclose(curve(missed, pairs, [3, 1, 4, 2], shares), [6 / 12, 4 / 10, 2 / 8, 1 / 6, 0], atol=1e-9)


def test_a_score_that_is_upside_down():
    missed, pairs, shares = [1, 4, 0, 1], [4, 4, 2, 2], [0, 1 / 6, 1 / 2, 2 / 3]
    np.testing.assert_allclose(curve(missed, pairs, [-3, -1, -4, -2], shares), [6 / 12, 6 / 10, 5 / 6, 4 / 4])


def test_a_constant_leaves_the_rate_as_it_is():
    rng = np.random.default_rng(0)
    pairs = rng.integers(1, 9, 50)
    missed = rng.integers(0, pairs + 1)
    np.testing.assert_allclose(curve(missed, pairs, np.ones(50), [0, 0.1, 0.9]), missed.sum() / pairs.sum())


def test_ties_are_the_mean_over_orders():
    """Of two probes with the same lowest quality, one is discarded: that with 3 of 4 pairs missed, or with 1 of 4."""
    missed, pairs = [3, 1, 0, 0], [4, 4, 4, 4]
    orders = [curve(missed, pairs, quality, [0.25]).item() for quality in ([1, 2, 5, 6], [2, 1, 5, 6])]
    assert curve(missed, pairs, [1, 1, 5, 6], [0.25]).item() == pytest.approx(np.mean(orders))


def test_weights_are_repeated_probes():
    rng = np.random.default_rng(1)
    pairs, quality = rng.integers(1, 9, 40), rng.integers(0, 10, 40).astype(float)
    missed, times = rng.integers(0, pairs + 1), rng.integers(0, 4, (3, 40))
    weighted = curve(missed, pairs, quality, QUARTERS, times)
    repeated = [curve(*(np.repeat(values, row) for values in (missed, pairs, quality))) for row in times]
    np.testing.assert_allclose(weighted, repeated)


def test_any_rising_function_of_a_score_has_the_same_curve():
    rng = np.random.default_rng(2)
    pairs, quality = rng.integers(1, 9, 40), rng.normal(size=40)
    missed = rng.integers(0, pairs + 1)
    np.testing.assert_array_equal(curve(missed, pairs, quality), curve(missed, pairs, np.exp(quality)))


def test_no_pairs_have_no_rate():
    assert np.isnan(curve([0, 0], [0, 0], [0, 1], [0.5])).all()


def test_the_mean_of_a_straight_line_is_its_middle():
    shares = np.array([0, 0.1, 0.3])
    assert mean_error(0.5 - shares, shares).item() == pytest.approx(0.5 - 0.15)
    assert mean_error(np.stack([shares, 2 * shares]), shares).tolist() == pytest.approx([0.15, 0.3])


@pytest.mark.parametrize(
    ("missed", "pairs", "quality", "shares", "message"),
    [
        ([1], [1, 2], [0, 1], [0], "must be"),
        ([1, 1], [1, 2], [0, np.nan], [0], "1 of 2 qualities"),
        ([1, 1], [1, 2], [0, 1], [1.0], "in \\[0, 1\\)"),
        ([2, 1], [1, 2], [0, 1], [0], "more missed pairs than pairs"),
    ],
)
def test_wrong_input_is_refused(missed, pairs, quality, shares, message):
    with pytest.raises(ValueError, match=message):
        curve(missed, pairs, quality, shares)
