"""Resampled figures: those of repeated pairs, and those of the bootstrap over all pairs of people."""

import pytest
import torch

from rim_lightning.functional.bootstrap import person_resampled_tar
from rim_lightning.functional.fixed_thresholds import PairsOfPeople
from rim_lightning.functional.likelihood_ratio import ratio_costs
from rim_lightning.functional.resampled_curves import SortedPairs, pair_weights, person_weights, resampled_figures
from rim_lightning.functional.verification import equal_error_rate, roc_auc, tar_at_far

FARS = {"half": 0.5, "tenth": 0.1, "none": 0.0}


def some_pairs(count=200, levels=30):
    random = torch.Generator().manual_seed(3)
    same = torch.rand(count, generator=random) < 0.4
    scores = (torch.rand(count, generator=random) + 0.5 * same).mul(levels).round() / levels  # with ties
    return scores, same


def test_pairs_that_count_once_have_the_figures_of_verification():
    scores, same = some_pairs()
    found = SortedPairs(scores, same).figures(torch.ones(len(same), dtype=torch.float64), FARS)
    assert found["eer"] == pytest.approx(equal_error_rate(scores, same), abs=1e-12)
    assert found["auc"] == pytest.approx(roc_auc(scores, same), abs=1e-12)
    for name, far in FARS.items():
        assert found[name] == tar_at_far(scores, same, far, min_impostors=0)[0]


def test_a_weight_is_a_number_of_repetitions():
    scores, same = some_pairs()
    for weights in pair_weights(same, torch.Generator().manual_seed(1), 5):
        times = weights.long()
        assert int(times.sum()) == len(same)
        repeated, kinds = scores.repeat_interleave(times), same.repeat_interleave(times)
        found = SortedPairs(scores, same).figures(weights, FARS)
        assert found["eer"] == pytest.approx(equal_error_rate(repeated, kinds), abs=1e-12)
        assert found["auc"] == pytest.approx(roc_auc(repeated, kinds), abs=1e-12)
        for name, far in FARS.items():
            assert found[name] == pytest.approx(tar_at_far(repeated, kinds, far, min_impostors=0)[0], abs=1e-12)


def test_resampled_people_give_the_tar_of_the_bootstrap_over_all_pairs():
    random = torch.Generator().manual_seed(5)
    gallery, probe = torch.arange(12), torch.arange(12).repeat(3)
    own = gallery[:, None] == probe
    scores = (torch.rand(12, 36, generator=random) + 0.4 * own).mul(20).round() / 20
    expected, rates = person_resampled_tar(
        scores, gallery, probe, 0.1, torch.Generator().manual_seed(0), samples=50, min_impostors=1
    )
    row, column = torch.ones_like(own).nonzero(as_tuple=True)
    first, second, flat = gallery[row], probe[column], scores[row, column]
    weights = person_weights(first, second, torch.Generator().manual_seed(0), 50)
    found = resampled_figures(SortedPairs(flat, first == second), weights, {"tar": 0.1})
    torch.testing.assert_close(found["tar"], rates, rtol=0, atol=1e-12)
    assert tar_at_far(flat, first == second, 0.1, 1)[0] == expected


def test_the_mean_cost_is_that_of_pairs_of_people():
    first, second = torch.arange(6).repeat_interleave(6), torch.arange(6).repeat(6)
    random = torch.Generator().manual_seed(5)
    ratios = torch.randn(36, generator=random).double().numpy()
    people = PairsOfPeople(first, second, torch.Generator().manual_seed(0), samples=40)
    costs = torch.from_numpy(ratio_costs(ratios, people.same.numpy()))
    _, expected = people.mean_cost(costs)
    weights = person_weights(first, second, torch.Generator().manual_seed(0), 40)
    pairs = SortedPairs(torch.from_numpy(ratios), people.same)
    found = resampled_figures(pairs, weights, {}, [(costs, people.same)])
    torch.testing.assert_close(found["cllr"], expected, rtol=0, atol=1e-12)


def test_one_kind_of_pair_is_refused():
    with pytest.raises(ValueError, match="one kind is missing"):
        next(pair_weights(torch.ones(3, dtype=torch.bool), torch.Generator(), 1))
    with pytest.raises(ValueError, match="one kind is missing"):
        next(person_weights(torch.arange(3), torch.arange(3), torch.Generator(), 1))
    with pytest.raises(ValueError, match="two people for a pair"):
        next(person_weights(torch.arange(3), torch.arange(2), torch.Generator(), 1))
