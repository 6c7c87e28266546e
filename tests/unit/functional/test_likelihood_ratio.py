"""Likelihood ratios and their costs: hand values, the package lir as oracle, and laws that they must obey."""

import math

import numpy as np
import pytest

from rim_lightning.functional import likelihood_ratio
from rim_lightning.functional.likelihood_ratio import (
    LogisticRatio,
    cllr,
    cllr_min,
    empirical_cross_entropy,
    fit_bounded,
    fit_logistic,
    isotonic_log10_ratios,
    ratio_costs,
    with_fewer_strangers,
)


def normal_pairs(genuine=400, impostors=3000, distance=2.0, seed=0):
    """Two normal distributions of spread 1: log LR of a score is distance · (score − distance / 2)."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance, 1, genuine), rng.normal(0, 1, impostors)])
    return scores, np.arange(genuine + impostors) < genuine


def test_the_fit_of_two_normal_distributions_is_their_ratio():
    scores, same = normal_pairs(40_000, 40_000)
    intercept, slope = fit_logistic(scores, same)
    assert slope * math.log(10) == pytest.approx(2, abs=0.05)
    assert intercept * math.log(10) == pytest.approx(-2, abs=0.05)


def test_the_number_of_pairs_of_a_kind_has_no_say():
    scores, same = normal_pairs(50, 200)
    repeated = np.concatenate([scores, np.repeat(scores[~same], 9)]), np.concatenate([same, np.zeros(1800, bool)])
    assert fit_logistic(*repeated) == pytest.approx(fit_logistic(scores, same), rel=1e-6)
    assert cllr(scores, same) == pytest.approx(cllr(*repeated), rel=1e-9)
    assert cllr_min(scores, same) == pytest.approx(cllr_min(*repeated), rel=1e-9)


def test_scores_in_another_unit_have_the_same_ratios():
    scores, same = normal_pairs()
    here, there = fit_logistic(scores, same), fit_logistic(0.01 * scores - 7, same)
    np.testing.assert_allclose(there.log10(0.01 * scores - 7), here.log10(scores), rtol=1e-5, atol=1e-6)


def test_separated_scores_have_a_finite_fit():
    ratio = fit_logistic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 1 < ratio.slope < 1000
    assert ratio.log10(0.5) == pytest.approx(0, abs=1e-6)


def test_pooled_neighbors_by_hand():
    """Scores 1 … 5 of kinds 2 1 2 2 1: 2 of weight 1/2 each, 3 of 1/3. 2 and 3, 4 pool to 1/2 : 2/3."""
    scores = np.array([1.0, 2, 3, 4, 5])
    same = np.array([False, True, False, False, True])
    ratios = 10 ** isotonic_log10_ratios(scores, same)
    assert ratios == pytest.approx([0, 0.75, 0.75, 0.75, np.inf])


def test_costs_by_hand():
    costs = ratio_costs(
        np.log10([1, 3, 3, 1 / 3, np.inf, 0.0 + 1e-300]), np.array([True, True, False, True, True, False])
    )
    assert costs == pytest.approx([1, math.log2(4 / 3), 2, 2, 0, 0])
    log10_ratios, same = np.log10([3, 1, 1 / 3]), np.array([True, False, False])
    expected = (math.log2(4 / 3) + (1 + math.log2(4 / 3)) / 2) / 2
    assert cllr(log10_ratios, same) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_ratios_and_costs_are_those_of_lir(seed):
    """The package of the Netherlands Forensic Institute."""
    from lir.algorithms.isotonic_regression import IsotonicCalibrator
    from lir.algorithms.logistic_regression import LogitCalibrator
    from lir.data.models import LLRData
    from lir.metrics import cllr as lir_cllr
    from lir.metrics import cllr_min as lir_cllr_min

    scores, same = normal_pairs(80 + 40 * seed, 700, 1 + 0.5 * seed, seed)
    scores = scores.round(1) if seed % 2 else scores  # ties
    ours, theirs = (
        fit_logistic(scores, same).log10(scores),
        LogitCalibrator(C=1e9, tol=1e-9).fit(scores, same).transform(scores),
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    pooled = isotonic_log10_ratios(scores, same)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(pooled, IsotonicCalibrator().fit_transform(scores, same.astype(int)), atol=1e-6)
    data = LLRData(features=ours, labels=same.astype(int))
    assert cllr(ours, same) == pytest.approx(lir_cllr(data), rel=1e-9)
    assert cllr_min(scores, same) == pytest.approx(lir_cllr_min(data), rel=1e-9)


def test_no_rising_function_costs_less_than_the_pooled_one():
    scores, same = normal_pairs(4000, 9000)
    least = cllr_min(scores, same)
    assert least <= cllr(fit_logistic(scores, same).log10(scores), same) < least + 0.01
    assert cllr_min(np.exp(scores), same) == pytest.approx(least, rel=1e-12)
    assert cllr(scores * 9, same) > 1 > least  # overconfident ratios mislead


@pytest.mark.parametrize("compute", [fit_logistic, isotonic_log10_ratios, cllr, cllr_min])
@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([0.1, 0.2], [True, True], "one kind is missing"),
        ([0.1, 0.2], [False, False], "one kind is missing"),
        ([0.1, math.nan], [True, False], "1 of 2 .* (NaN|not finite)"),
        ([0.1, 0.2, 0.3], [True, False], r"\(3,\) and \(2,\)"),
    ],
)
def test_what_has_no_ratio_is_refused(compute, scores, same, message):
    with pytest.raises(ValueError, match=message):
        compute(np.array(scores), np.array(same))


def test_infinite_scores_have_no_fit():
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        fit_logistic(np.array([0.1, math.inf]), np.array([True, False]))


def test_a_ratio_is_a_line():
    assert LogisticRatio(-2.0, 4.0).log10(0.75) == 1.0


def test_the_cross_entropy_at_even_odds_is_the_cost():
    scores, same = normal_pairs()
    ratios = fit_logistic(scores, same).log10(scores)
    odds = np.array([-3.0, 0.0, 3.0])
    low, even, high = empirical_cross_entropy(ratios, same, odds)
    assert even == pytest.approx(cllr(ratios, same))
    nothing = empirical_cross_entropy(np.zeros_like(scores), same, odds)
    prior = 1 / (1 + 1000)  # entropy of a prior, in bits
    entropy = -prior * math.log2(prior) - (1 - prior) * math.log2(1 - prior)
    assert nothing == pytest.approx([entropy, 1, entropy])
    assert low < nothing[0]
    assert high < nothing[2]


def test_a_bounded_ratio_says_no_more_than_its_people_can_carry():
    scores, same = normal_pairs()
    ratio = fit_bounded(scores, same, 100)
    assert ratio[:2] == fit_logistic(scores, same)
    assert ratio.log10(np.array([-1e3, -ratio.intercept / ratio.slope, 1e3])) == pytest.approx([-2, 0, 2])
    assert fit_bounded(-scores, same, 100) == (0, 0, 2)  # similarities that mean the opposite


def test_of_many_strangers_some_are_taken(monkeypatch):
    same = np.array([False, True, False, False, True, False, False])
    assert with_fewer_strangers(same).all()
    monkeypatch.setattr(likelihood_ratio, "MAX_STRANGERS", 2)
    assert with_fewer_strangers(same).tolist() == [True, True, False, False, True, True, False]
