"""Open-set rates against all galleries one by one, and against simulated populations."""

import itertools

import pytest
import torch

from rim_lightning.functional.open_set import SearchedPeople


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def searched(scores, person, compared=None, samples=200):
    compared = torch.ones_like(scores, dtype=torch.bool) if compared is None else compared
    return SearchedPeople(scores, person, compared, generator(), samples)


def by_every_gallery(scores, person, gallery, threshold):
    """FPIR as the mean over all probes and all galleries without their person."""
    hits, searches = 0, 0
    for probe, own in enumerate(person.tolist()):
        others = [row for row in range(len(scores)) if row != own]
        for rows in itertools.combinations(others, gallery):
            hits += bool((scores[list(rows), probe] >= threshold).any())
            searches += 1
    return hits / searches


@pytest.mark.parametrize("gallery", [1, 2, 5, 7])
def test_the_rate_is_the_mean_over_all_galleries(gallery):
    scores = torch.randn(8, 12, generator=generator())
    person = torch.arange(12) % 8
    people = searched(scores, person)
    assert people.largest == 7
    for threshold in (-0.5, 0.3, 1.2, 9.0):
        expected = by_every_gallery(scores, person, gallery, threshold)
        assert people.fpir(gallery, threshold) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("gallery", [1, 3, 7])
@pytest.mark.parametrize("fpir", [0.5, 0.2, 0.1])
def test_the_threshold_is_the_lowest_that_keeps_the_rate(gallery, fpir):
    scores = torch.randn(8, 12, generator=generator())
    person = torch.arange(12) % 8
    people = searched(scores, person)
    threshold = people.rates(gallery, fpir).threshold
    assert people.fpir(gallery, threshold) <= fpir + 1e-9
    below = scores[(scores < threshold) & (torch.arange(8)[:, None] != person)].max()
    assert people.fpir(gallery, below.item()) > fpir


def test_people_of_the_gallery_by_hand():
    """Three people with two probes each: one probe is missed, and one was made of the gallery picture itself."""
    scores = torch.full((3, 6), 0.1)
    person = torch.tensor([0, 0, 1, 1, 2, 2])
    scores[person, torch.arange(6)] = torch.tensor([0.9, 0.8, 0.05, 0.7, 1.0, 0.6])
    compared = torch.ones(3, 6, dtype=torch.bool)
    compared[2, 4] = False
    rates = searched(scores, person, compared).rates(2, 0.5)
    assert 0.1 < rates.threshold < 0.1001  # all strangers are alike: either all or none has a hit
    assert rates.fnir == pytest.approx(1 / 5)
    assert rates.deciding == 0
    assert rates.fpir_interval == (0, pytest.approx(1 - 0.025 ** (1 / 3)))  # three people: it may happen to a fourth
    low, high = rates.fnir_interval
    assert low == 0
    assert 0.25 <= high <= 0.5


def test_the_lookalikes_of_a_person_decide():
    scores = torch.zeros(5, 5)
    scores[0, 3] = scores[1, 3] = scores[2, 4] = 0.9
    rates = searched(scores, torch.arange(5)).rates(4, 0.5)
    assert rates.threshold < 0.9
    assert rates.deciding == 2


@pytest.mark.slow
def test_the_intervals_cover_the_rate_of_the_population():
    """People differ in how alike they are to all others: resampled probes alone would be too sure."""
    gallery, threshold_fpir, people, trials = 20, 0.1, 60, 150

    def draw(count, seed):
        random = generator(seed)
        alike = 0.5 * torch.randn(count, generator=random)
        scores = alike[:, None] + alike + torch.randn(count, count, generator=random)
        scores.fill_diagonal_(9.0)
        return scores

    population = searched(draw(1500, 0), torch.arange(1500), samples=2)
    covered = 0
    for seed in range(1, trials + 1):
        rates = searched(draw(people, seed), torch.arange(people)).rates(gallery, threshold_fpir)
        low, high = rates.fpir_interval
        covered += low <= population.fpir(gallery, rates.threshold) <= high
    assert 0.85 < covered / trials <= 0.99
