"""Rates and costs of given answers, by hand and by a simulation of their intervals."""

import math

import numpy as np
import pytest
import torch

from rim_lightning.functional.fixed_thresholds import PairsOfPeople
from rim_lightning.functional.likelihood_ratio import cllr, ratio_costs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs_of(gallery, probes, samples=400, seed=0):
    first, second = torch.cartesian_prod(gallery, probes).T
    return PairsOfPeople(first, second, generator(seed), samples)


def test_rates_by_hand():
    """Three people, two probes each; the first two are lookalikes, and one probe of the third is missed."""
    scores = torch.tensor(
        [
            [0.9, 0.8, 0.7, 0.2, 0.1, 0.3],
            [0.6, 0.1, 0.8, 0.9, 0.2, 0.2],
            [0.1, 0.2, 0.3, 0.1, 0.9, 0.4],
        ]
    )
    people = pairs_of(torch.tensor([7, 5, 9]), torch.tensor([7, 7, 5, 5, 9, 9]))
    rates = people.rates(scores.flatten(), 0.5)
    assert rates.far == pytest.approx(2 / 12)
    assert rates.frr == pytest.approx(1 / 6)
    low, high = rates.far_interval
    assert low == 0  # no resample without 7 or 5 has a false accept
    assert high == pytest.approx(0.5)  # those of 7 and 5 alone: 2 of 4
    assert rates.frr_interval == (0, pytest.approx(0.5))


def test_a_rate_of_nothing_is_not_certain():
    """Four people without an error: a rate at which none of four shows one in 2.5 % of the cases."""
    scores = torch.eye(4)
    rates = pairs_of(torch.arange(4), torch.arange(4)).rates(scores.flatten(), 0.5)
    assert (rates.far, rates.frr) == (0, 0)
    for low, high in (rates.far_interval, rates.frr_interval):
        assert (low, (1 - high) ** 4) == (0, pytest.approx(0.025))
    all_wrong = pairs_of(torch.arange(4), torch.arange(4)).rates(1 - scores.flatten(), 0.5)
    assert (all_wrong.far, all_wrong.frr) == (1, 1)
    for low, high in (all_wrong.far_interval, all_wrong.frr_interval):
        assert (low**4, high) == (pytest.approx(0.025), 1)


def test_the_threshold_itself_is_accepted():
    rates = pairs_of(torch.tensor([0, 1]), torch.tensor([0, 1])).rates(torch.tensor([0.5, 0.5, 0.4, 0.3]), 0.5)
    assert (rates.far, rates.frr) == (0.5, 0.5)


def test_the_cost_is_that_of_both_kinds_alike():
    """Against Cllr of all pairs; a resample against Cllr of its people, written out."""
    gallery, probes = torch.tensor([7, 5, 9]), torch.tensor([7, 7, 5, 5, 9, 9])
    people = pairs_of(gallery, probes, samples=20)
    ratios = torch.randn(18, generator=generator(), dtype=torch.float64).numpy()
    same = people.same.numpy()
    mean, resampled = people.mean_cost(torch.from_numpy(ratio_costs(ratios, same)))
    assert mean == pytest.approx(cllr(ratios, same))
    draws = torch.randint(3, (20, 3), generator=generator())  # of the people 5, 7 and 9
    first, second = torch.cartesian_prod(gallery, probes).T
    for drawn, found in zip(draws.tolist(), resampled.tolist(), strict=True):
        times = {person: drawn.count(number) for number, person in enumerate((5, 7, 9))}
        repeats = [
            times[g] if g == p else times[g] * times[p] for g, p in zip(first.tolist(), second.tolist(), strict=True)
        ]
        if len(set(drawn)) == 1:
            assert math.isnan(found)  # no two people
        else:
            assert found == pytest.approx(cllr(np.repeat(ratios, repeats), np.repeat(same, repeats)))


@pytest.mark.slow
def test_the_intervals_cover_the_rates_of_the_population():
    """A similarity is that of the people and that of the pictures: pairs as units would be far too sure."""
    threshold, people, images, trials = 1.5, 60, 3, 200

    def draw(count, seed):
        random = generator(seed)
        kind = torch.randn(count, 4, generator=random).repeat_interleave(images, 0)  # what is alike in some people
        person = torch.arange(count).repeat_interleave(images)
        easy = torch.randn(count, generator=random).repeat_interleave(images)
        noise = torch.randn(len(person), len(person), generator=random)
        scores = 0.6 * kind @ kind.T + noise + (person[:, None] == person) * (0.5 + easy)
        return pairs_of(person, person, 200, seed), scores.flatten()

    random = generator()
    ones, others = torch.randn(2, 400_000, 4, generator=random)
    noise, easy = torch.randn(2, 400_000, generator=random)
    far = (0.6 * (ones * others).sum(1) + noise >= threshold).double().mean()
    frr = (0.6 * (ones * ones).sum(1) + noise + 0.5 + easy < threshold).double().mean()
    covered = torch.zeros(2)
    for seed in range(1, trials + 1):
        pairs, scores = draw(people, seed)
        rates = pairs.rates(scores, threshold)
        (far_low, far_high), (frr_low, frr_high) = rates.far_interval, rates.frr_interval
        covered += torch.tensor([far_low <= far <= far_high, frr_low <= frr <= frr_high])
    assert (covered / trials > 0.9).all(), covered / trials
    assert (covered / trials < 0.99).all(), covered / trials
