import math

import pytest
import torch

from rim_lightning.functional.bootstrap import (
    SeedFigures,
    bootstrap_interval,
    figure_difference,
    figure_interval,
    mean_interval,
    paired_difference,
    percentile_interval,
    person_interval,
    person_resampled_tar,
    seed_interval,
)
from rim_lightning.functional.verification import tar_at_far


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gallery_and_probes(people=8, gallery=2, probes=3, seed=0):
    """Overlapping scores with many ties, several images a person, in mixed order."""
    draw = generator(seed)
    first = torch.arange(people).repeat_interleave(gallery)[torch.randperm(people * gallery, generator=draw)] * 3 + 5
    second = torch.arange(people).repeat_interleave(probes)[torch.randperm(people * probes, generator=draw)] * 3 + 5
    scores = torch.randn(len(first), len(second), generator=draw) + 1.5 * (first[:, None] == second)
    return (scores * 4).round() / 4, first, second


def weighted_tar(scores, first, second, weight, far, left_out):
    """By counting at every threshold; `weight` is {person: times drawn}. None where one kind has no weight."""
    pairs = [
        (scores[i][j], a == b, weight[a] if a == b else weight[a] * weight[b])
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if not left_out[i][j]
    ]
    genuine = sum(w for _, same, w in pairs if same)
    impostor = sum(w for _, same, w in pairs if not same)
    if not genuine or not impostor:
        return None
    best = 0.0
    for threshold in sorted({score for score, _, _ in pairs} | {math.inf}):
        accepted = sum(w for score, same, w in pairs if not same and score >= threshold)
        if accepted <= far * impostor + 1e-9:
            best = max(best, sum(w for score, same, w in pairs if same and score >= threshold) / genuine)
    return best


def test_bootstrap_interval_equals_the_normal_one_of_many_pairs():
    correct = torch.arange(4000) % 10 != 0  # 90 %
    low, high = bootstrap_interval(correct, torch.Generator().manual_seed(0))
    half = 1.96 * math.sqrt(0.9 * 0.1 / 4000)
    assert low == pytest.approx(0.9 - half, abs=0.002)
    assert high == pytest.approx(0.9 + half, abs=0.002)


def test_values_that_are_no_vector_are_refused():
    with pytest.raises(ValueError, match="vector of values"):
        bootstrap_interval(torch.zeros(0), torch.Generator())


def test_the_paired_difference_of_equal_models_is_certain():
    correct = torch.rand(50, generator=generator()) < 0.8
    assert paired_difference(correct, correct, generator()) == (0, 0, 0)
    mean, low, high = paired_difference(torch.ones(4).bool(), torch.tensor([1, 0, 1, 1]).bool(), generator())
    assert mean == 0.25
    assert (low, high) == (0, 0.75)  # k of 4 draws are the pair with a difference, k binomial(4, 1/4)


def test_the_paired_interval_is_that_of_the_normal_approximation_and_narrower_than_unpaired():
    common = torch.rand(3000, generator=generator(1)) < 0.8
    better = common | (torch.rand(3000, generator=generator(2)) < 0.1)
    mean, low, high = paired_difference(better, common, generator())
    difference = better.double() - common.double()
    margin = 1.96 * difference.std().item() / math.sqrt(3000)
    assert (mean, low, high) == pytest.approx(
        (difference.mean().item(), mean - margin, mean + margin), abs=0.15 * margin
    )
    shuffled = common[torch.randperm(3000, generator=generator())]
    _, low_unpaired, high_unpaired = paired_difference(better, shuffled, generator())
    assert high - low < 0.7 * (high_unpaired - low_unpaired)


def test_seeds_alone_have_the_interval_of_t():
    """Pairs without difference: what is left are the seeds, whose interval is that of `seed_interval`."""
    seeds = torch.tensor([[0.0], [1.0], [0.5]]).expand(3, 40)
    expected = seed_interval([0.0, 1.0, 0.5])
    assert paired_difference(seeds, torch.zeros(3, 40), generator()) == pytest.approx(
        (expected[0], *expected[2:]), rel=1e-6
    )
    assert mean_interval(seeds, generator()) == pytest.approx(expected[2:], rel=1e-6)
    # As many seeds are compared one by one: seed i is always 0.25 better than the other's seed i.
    assert paired_difference(seeds, seeds - 0.25, generator()) == (0.25, 0.25, 0.25)
    # Other numbers of seeds by Welch: variances 1/4 / 3 and 1/2 / 2. Their sum has 1/9 / (1/144/2 + 1/16) = 1.68
    # degrees of freedom, where log t is between those of 1 (12.706) and 2 (4.3027).
    mean, low, high = paired_difference(seeds, seeds[:2], generator())
    freedom = (1 / 3) ** 2 / ((1 / 12) ** 2 / 2 + (1 / 4) ** 2)
    quantile = 4.30265 ** (1 - (1 / freedom - 0.5) / 0.5) * 12.7062 ** ((1 / freedom - 0.5) / 0.5)
    assert (mean, low, high) == pytest.approx((0, -quantile / math.sqrt(3), quantile / math.sqrt(3)), rel=1e-5)


def experiments(seed_spread, pair_spread, chance, seeds=3, pairs=60, count=2000, draw=1):
    """Experiments whose true mean is 0, and the same resampled: pairs (P), seeds (S) and chance vary."""
    draw = generator(draw)
    values = chance * torch.randn(count, seeds, pairs, generator=draw)
    values += seed_spread * torch.randn(count, seeds, 1, generator=draw)
    values += pair_spread * torch.randn(count, 1, pairs, generator=draw)
    weight = torch.randint(pairs, (150, pairs), generator=draw)
    weight = torch.stack([row.bincount(minlength=pairs) for row in weight]) / pairs  # (B, P)
    return SeedFigures(values.mean(-1), values @ weight.T)


def coverage(low, high):
    return ((low <= 0) & (high >= 0)).double().mean().item()


@pytest.mark.parametrize(
    ("parts", "by_percentiles"),
    [((1.0, 0.0, 0.0), 0.75), ((0.3, 1.0, 0.5), 0.88), ((0.2, 0.0, 1.0), None), ((0.0, 1.0, 0.5), None)],
)
def test_intervals_over_three_seeds_cover_as_often_as_they_say(parts, by_percentiles):
    """2,000 simulated experiments with known spreads of seeds, pairs and chance; nominal 95 %."""
    system = experiments(*parts)
    assert 0.93 <= coverage(*figure_interval(system)) <= 0.97
    if by_percentiles is not None:  # percentiles of resampled pairs and seeds; of seeds alone: least … largest
        seeds = torch.randint(3, (150, 3), generator=generator())
        means = torch.stack([system.resampled[:, row, number].mean(-1) for number, row in enumerate(seeds)], -1)
        tails = means.quantile(torch.tensor([0.025, 0.975]), -1)
        assert coverage(*tails) == pytest.approx(by_percentiles, abs=0.03)


def test_chance_in_every_pair_alone_makes_the_interval_safe_not_short():
    assert 0.93 <= coverage(*figure_interval(experiments(0.0, 0.3, 1.0))) <= 0.99


def test_the_interval_of_a_difference_covers_too():
    hard = experiments(0.0, 1.0, 0.0, seeds=1)  # pairs that are hard for both
    a, b = experiments(0.2, 0.2, 0.3), experiments(0.3, 0.3, 0.2, seeds=5)
    a, b = (SeedFigures(x.figures + hard.figures, x.resampled + hard.resampled) for x in (a, b))
    _, low, high = figure_difference(a, SeedFigures(b.figures, b.resampled))
    assert coverage(low, high) >= 0.93
    assert (high - low).median() < 0.8 * (figure_interval(a)[1] - figure_interval(a)[0]).median() + 0.5


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_the_interval_covers_against_a_system_that_was_trained_once(spread):
    """2,000 experiments, three seeds against one; as if that one were fixed, the interval would cover in 78 to 84 %."""
    parts = (1.0, spread, 0.2)
    several, once = experiments(*parts), experiments(*parts, seeds=1, draw=2)
    _, low, high = figure_difference(several, once)
    assert 0.92 <= coverage(low, high) <= 0.97
    fixed = SeedFigures(torch.zeros(2000, 1), torch.zeros(2000, 1, 150), trained=False)
    _, low, high = figure_difference(several, fixed)
    torch.testing.assert_close(torch.stack([low, high]), torch.stack(figure_interval(several)))


def test_people_are_drawn_with_all_their_values():
    """Ten people of 50 equal values each are ten values; of one value each it is the plain bootstrap."""
    truth = (torch.arange(10) < 7).double()
    person = torch.arange(10).repeat_interleave(50)
    low, high = person_interval(truth.repeat_interleave(50), person, generator())
    alone_low, alone_high = person_interval(truth, torch.arange(10), generator())
    assert (low, high) == (alone_low, alone_high)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.7 * 0.3 / 10), rel=0.15)
    # A person with more values weighs more: of 1 right and 3 wrong, the resamples are 0, 1/4 and 1.
    assert person_interval(torch.tensor([1, 0, 0, 0]), torch.tensor([5, 6, 6, 6]), generator()) == (0, 1)
    with pytest.raises(ValueError, match="their people"):
        person_interval(torch.ones(3), torch.ones(4), generator())


@pytest.mark.parametrize("far", [0.0, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_every_resample_of_people_equals_counting(far, masked):
    scores, first, second = gallery_and_probes()
    left_out = torch.rand(scores.shape, generator=generator(3)) < (0.3 if masked else 0)
    tar, resampled = person_resampled_tar(scores, first, second, far, generator(4), 25, 0, left_out if masked else None)
    people = first.unique()
    plain = [scores.tolist(), first.tolist(), second.tolist()]
    draw, rates = generator(4), []
    while len(rates) < 25:
        resample = people[torch.randint(len(people), (len(people),), generator=draw)].tolist()
        rate = weighted_tar(*plain, {p: resample.count(p) for p in people.tolist()}, far, left_out.tolist())
        rates += [] if rate is None else [rate]
    assert resampled.tolist() == pytest.approx(rates, abs=1e-12)
    expected = torch.tensor(rates, dtype=torch.float64).quantile(torch.tensor([0.1, 0.9], dtype=torch.float64))
    assert percentile_interval(resampled, 0.8) == pytest.approx(tuple(expected.tolist()), abs=1e-12)
    assert tar == pytest.approx(weighted_tar(*plain, dict.fromkeys(people.tolist(), 1), far, left_out.tolist()))
    same = (first[:, None] == second)[~left_out]
    assert tar == tar_at_far(scores.double()[~left_out], same, far, 0)[0]


def test_resamples_whose_threshold_lies_deep_equal_counting():
    """3,540 impostor pairs of one person who is drawn often: the threshold is not among the 1,142 highest scores."""
    people, images = 60, 60
    identity = torch.arange(people)
    scores = torch.randn(people, images, generator=generator(5)) + torch.eye(people)
    scores[:, 1:] += 10 * (identity[:, None] > 20)  # the highest impostor scores are those of many people
    _, resampled = person_resampled_tar(scores, identity, identity, 0.01, generator(6), 4)
    draw = generator(6)
    plain = [scores.double().tolist(), identity.tolist(), identity.tolist()]
    nothing = torch.zeros(people, images, dtype=torch.bool).tolist()
    for rate in resampled[:1].tolist():
        resample = torch.randint(people, (people,), generator=draw).tolist()
        weight = {person: resample.count(person) for person in range(people)}
        assert rate == pytest.approx(weighted_tar_of_sorted(*plain, weight, 0.01, nothing))


def weighted_tar_of_sorted(scores, first, second, weight, far, left_out):
    """As `weighted_tar`, in one pass over the impostor scores."""
    pairs = sorted(
        (scores[i][j], weight[a] * weight[b])
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if a != b and not left_out[i][j]
    )[::-1]
    allowed, used, refused = far * sum(w for _, w in pairs) + 1e-9, 0, None
    for score, w in pairs:
        used += w
        if used > allowed:
            refused = score
            break
    genuine = [(scores[i][i], weight[i]) for i in range(len(first))]
    return sum(w for score, w in genuine if score > refused) / sum(w for _, w in genuine)


def test_two_people_by_hand():
    # Drawn (0, 0) or (1, 1): no impostor weighs, drawn again. Drawn (0, 1): all pairs as they are.
    scores = torch.tensor([[0.9, 0.5], [0.4, 0.3]])
    identity = torch.tensor([0, 1])
    for far in (0.0, 0.5):
        tar, resampled = person_resampled_tar(scores, identity, identity, far, generator(), 20, min_impostors=0)
        assert tar == 0.5
        assert resampled.tolist() == [0.5] * 20
    eye = torch.eye(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="genuine"):
        person_resampled_tar(scores, identity, identity, 0.5, generator(), 20, left_out=eye)


def test_the_difference_of_two_systems_on_the_same_people_is_less_in_doubt_than_either():
    scores, first, second = gallery_and_probes()
    better = torch.where(first[:, None] == second, scores + 0.3, scores)
    (_, a), (_, b) = (person_resampled_tar(each, first, second, 0.05, generator(), 200, 0) for each in (better, scores))
    assert (a >= b).all()
    assert (a - b).std() < b.std()


def test_no_tar_where_too_few_impostors_decide():
    scores, first, second = gallery_and_probes()  # 16 * 24 - 8 * 6 = 336 impostor pairs
    assert person_resampled_tar(scores, first, second, 9.9 / 336, generator(), 5) is None
    assert person_resampled_tar(scores, first, second, 10 / 336, generator(), 5) is not None


@pytest.mark.slow
def test_the_interval_over_people_covers_where_that_over_pairs_would_not():
    """Every person is accepted with all pairs or with none: TAR is a mean over people, 1/2 in the long run."""
    people, images, covered = 30, 6, 0
    for seed in range(60):
        easy = torch.rand(people, generator=generator(seed)) < 0.5
        identity = torch.arange(people).repeat_interleave(images)
        scores = torch.where(identity[:, None] == torch.arange(people), 2.0 * easy[identity][:, None] - 1, 0.0)
        _, resampled = person_resampled_tar(scores, identity, torch.arange(people), 0.0, generator(seed), 100, 0)
        low, high = percentile_interval(resampled, 0.9)
        covered += low <= 0.5 <= high
    assert 45 <= covered <= 60  # 90 % of 60 are 54; pairs as units would give intervals √6 times too narrow


def test_the_tar_of_seven_hundred_faces_lies_among_its_resamples():
    identity = torch.arange(700)
    scores = torch.randn(700, 700, generator=generator()) + 2 * torch.eye(700)
    tar, resampled = person_resampled_tar(scores, identity, identity, 1e-3, generator(), 20)
    assert resampled.min() <= tar <= resampled.max()


@pytest.mark.parametrize(
    ("values", "quantile"),
    [([1.0, 3.0], 12.7062), ([1.0, 2.0, 3.0], 4.30265), ([1.0, 2, 3, 4, 5], 2.77645), (list(range(31)), 2.04227)],
)
def test_seed_intervals_have_the_tabulated_quantiles_of_t(values, quantile):
    mean, std, low, high = seed_interval(values)
    count, center = len(values), sum(values) / len(values)
    assert mean == center
    assert std == pytest.approx(math.sqrt(sum((v - center) ** 2 for v in values) / (count - 1)))
    margin = quantile * std / math.sqrt(count)
    assert (low, high) == pytest.approx((center - margin, center + margin), rel=1e-5)


def test_seed_intervals_cover_as_often_as_they_say():
    values = torch.randn(2000, 4, generator=generator(), dtype=torch.float64).tolist()
    covered = sum(low <= 0 <= high for _, _, low, high in (seed_interval(row, 0.8) for row in values)) / 2000
    assert covered == pytest.approx(0.8, abs=0.03)


def test_errors_say_what_is_wrong():
    scores, first, second = gallery_and_probes()
    with pytest.raises(ValueError, match="same pairs"):
        paired_difference(torch.ones(3), torch.ones(4), generator())
    with pytest.raises(ValueError, match=r"Scores of 16 gallery and 24 probe faces must be \(16, 24\), got"):
        person_resampled_tar(scores.T, first, second, 0.1, generator())
    with pytest.raises(ValueError, match="mask"):
        person_resampled_tar(scores, first, second, 0.1, generator(), left_out=torch.zeros(2, 2).bool())
    with pytest.raises(ValueError, match="not finite"):
        person_resampled_tar(scores * math.nan, first, second, 0.1, generator())
    with pytest.raises(ValueError, match="two or more finite"):
        seed_interval([1.0])
    with pytest.raises(ValueError, match="two or more finite"):
        seed_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="coverage is 95"):
        seed_interval([1.0, 2.0], 95)
