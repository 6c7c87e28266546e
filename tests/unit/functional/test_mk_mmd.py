import itertools
import math

import pytest
import torch

from rim_lightning.functional.mk_mmd import joint_bandwidth, mk_mmd, permutation_test, squared_distances

ESTIMATORS = ["unbiased", "biased", "linear"]


def sample(rows, features=5, seed=0, shift=0.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, features, generator=generator, dtype=torch.float64).add(shift).to(dtype)


def kernels(dtype=torch.float64):
    return torch.tensor([1.0, 4.0, 20.0], dtype=dtype), torch.tensor([0.5, 0.3, 0.2], dtype=dtype)


def reference(x, y, bandwidths, weights, estimator):
    """Eq 7 and 8 pair by pair, in Python's floats."""
    x, y = x.tolist(), y.tolist()

    def k(a, b):
        d2 = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        return sum(w * math.exp(-d2 / (2 * s)) for s, w in zip(bandwidths.tolist(), weights.tolist(), strict=True))

    def within(rows):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if estimator == "biased" or i != j]
        return sum(k(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    if estimator == "linear":
        terms = [
            k(x[i], x[i + 1]) + k(y[i], y[i + 1]) - k(x[i], y[i + 1]) - k(x[i + 1], y[i])
            for i in range(0, len(x) - 1, 2)
        ]
        return sum(terms) / len(terms)
    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


def test_squared_distances_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[3.0, 4.0], [1.0, 2.0], [0.0, 1.0]])
    assert squared_distances(x, y).tolist() == [[25, 5, 1], [8, 0, 2]]


def test_squared_distances_are_never_negative():
    x = sample(40, 64, dtype=torch.float32) * 30
    assert squared_distances(x, x).min() >= 0


def test_mmd_by_hand():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    one, e = (torch.tensor([0.5]), torch.tensor([1.0])), math.exp  # k = exp(−d²)
    between = (2 * e(-4) + e(-9) + e(-1)) / 4
    assert mk_mmd(x, y, *one, "unbiased").item() == pytest.approx(2 * e(-1) - 2 * between)
    assert mk_mmd(x, y, *one, "biased").item() == pytest.approx(1 + e(-1) - 2 * between)
    assert mk_mmd(x, y, *one, "linear").item() == pytest.approx(2 * e(-1) - e(-9) - e(-1))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_equals_the_double_loop(estimator):
    x, y = sample(7), sample(7 if estimator == "linear" else 5, seed=1, shift=0.4)
    value = mk_mmd(x, y, *kernels(), estimator)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(reference(x, y, *kernels(), estimator), abs=1e-13)


def test_bandwidth_is_the_statistic_of_the_joint_set_off_the_diagonal():
    x, y = torch.tensor([[0.0], [1.0]], requires_grad=True), torch.tensor([[3.0]])  # d²: 1, 9, 4
    assert joint_bandwidth(x, y, "median").item() == pytest.approx(4)
    assert joint_bandwidth(x, y, "mean").item() == pytest.approx(14 / 3)
    assert not joint_bandwidth(x, y).requires_grad


def test_equal_rows_give_zero_and_a_finite_gradient():
    x = torch.ones(4, 3, requires_grad=True)
    y = torch.ones(4, 3)
    value = mk_mmd(x, y, joint_bandwidth(x, y)[None], torch.ones(1))
    value.backward()
    assert value.item() == 0
    assert x.grad.abs().max() == 0


def test_unbiased_has_mean_zero_for_equal_distributions_and_biased_has_its_known_bias():
    rows, unbiased, biased = 8, [], []
    for draw in range(300):
        x, y = sample(rows, 4, seed=2 * draw), sample(rows, 4, seed=2 * draw + 1)
        unbiased.append(mk_mmd(x, y, *kernels(), "unbiased"))
        biased.append(mk_mmd(x, y, *kernels(), "biased"))
    unbiased, biased = torch.stack(unbiased), torch.stack(biased)
    assert unbiased.mean().abs() < 3 * unbiased.std() / math.sqrt(len(unbiased))
    # E k of two independent standard normals in D dimensions: Σ β (1 + 2 / σ)^(−D/2).
    bandwidths, weights = kernels()
    expected = 2 / rows * (1 - (weights * (1 + 2 / bandwidths) ** -2).sum())
    assert (biased.mean() - expected).abs() < 3 * biased.std() / math.sqrt(len(biased))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_offset_of_100_changes_nothing_in_fp32(estimator):
    x, y = sample(16), sample(16, seed=1, shift=0.5)
    moved = mk_mmd((x + 100).float(), (y + 100).float(), *kernels(torch.float32), estimator)
    assert moved.dtype == torch.float32
    assert moved.item() == pytest.approx(mk_mmd(x, y, *kernels(), estimator).item(), abs=3e-6)
    moved_bandwidth = joint_bandwidth((x + 100).float(), (y + 100).float()).item()
    assert moved_bandwidth == pytest.approx(joint_bandwidth(x, y).item(), rel=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_autocast_changes_nothing(estimator):
    x, y = sample(16, dtype=torch.float32), sample(16, seed=1, shift=0.5, dtype=torch.float32)
    expected, bandwidth = mk_mmd(x, y, *kernels(), estimator), joint_bandwidth(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mk_mmd(x, y, *kernels(), estimator), expected)
        assert torch.equal(joint_bandwidth(x, y), bandwidth)


def test_bfloat16_features_are_computed_in_fp32():
    x, y = sample(16).bfloat16(), sample(16, seed=1, shift=0.5).bfloat16()
    value = mk_mmd(x, y, *kernels(torch.float32))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(reference(x.double(), y.double(), *kernels(), "unbiased"), abs=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_equal_finite_differences(estimator):
    x, y = sample(4, 3).requires_grad_(), sample(4, 3, seed=1).requires_grad_()
    bandwidths, weights = kernels()
    weights.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, w: mk_mmd(a, b, bandwidths, w, estimator), (x, y, weights))


def test_permutation_test_approaches_the_test_over_all_deals():
    x, y = sample(3, 2), sample(4, 2, seed=1, shift=0.7)
    joint, observed = torch.cat([x, y]), mk_mmd(x, y, *kernels())
    values = []
    for chosen in itertools.combinations(range(7), 3):
        others = [row for row in range(7) if row not in chosen]
        values.append(mk_mmd(joint[list(chosen)], joint[others], *kernels()))
    exact = (torch.stack(values) >= observed - 1e-12).double().mean().item()
    test = permutation_test(x, y, *kernels(), permutations=4000, generator=torch.Generator().manual_seed(0))
    assert 0.05 < exact < 0.95
    assert test.p_value == pytest.approx(exact, abs=0.03)
    assert test.mmd == pytest.approx(observed.item(), abs=1e-12)


def test_groups_are_dealt_together_and_their_own_pairs_do_not_count():
    """Against loops over the pairs, and over all deals of the groups."""
    x, y = sample(5, 2), sample(6, 2, seed=1, shift=0.7)
    joint, group = torch.cat([x, y]), [7, 7, 7, 3, 1, 0, 0, 4, 4, 5, 2]
    bandwidths, weights = kernels()

    def mean_kernel(rows, others):
        values = [
            sum(
                w * math.exp(-(joint[i] - joint[j]).square().sum() / (2 * b))
                for b, w in zip(bandwidths, weights, strict=True)
            )
            for i in rows
            for j in others
            if group[i] != group[j]
        ]
        return float(sum(values) / len(values))

    def mmd(chosen):
        a = [row for row in range(11) if group[row] in chosen]
        b = [row for row in range(11) if group[row] not in chosen]
        return mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)

    observed = mmd({7, 3, 1})
    deals = [mmd(chosen) for chosen in itertools.combinations(range(8), 3) if 6 not in chosen]
    exact = sum(value >= observed - 1e-12 for value in deals) / len(deals)
    test = permutation_test(x, y, *kernels(), 4000, torch.Generator().manual_seed(0), torch.tensor(group))
    assert test.mmd == pytest.approx(observed, abs=1e-9)
    assert 0.02 < exact < 0.98
    assert test.p_value == pytest.approx(exact, abs=0.03)


def test_people_with_many_pictures_do_not_look_like_a_gap():
    """Where there is none, p is below 0.05 in one test of twenty: within 3 sigma of 200 tests."""
    generator = torch.Generator().manual_seed(0)
    below = 0
    people = torch.arange(12).repeat_interleave(5)
    for _ in range(200):
        rows = torch.randn(12, 3, generator=generator)[people] + 0.2 * torch.randn(60, 3, generator=generator)
        test = permutation_test(rows[:30], rows[30:], *kernels(torch.float32), 39, generator, people)
        below += test.p_value <= 0.05
    assert below / 200 == pytest.approx(0.05, abs=0.047)


def test_groups_that_do_not_fit_are_refused():
    for groups, sentence in (([0, 1, 1, 2], "rows in both domains"), ([0, 0, 1, 2], "two rows or groups per domain")):
        with pytest.raises(ValueError, match=sentence):
            permutation_test(sample(2), sample(2, seed=1), *kernels(), 9, torch.Generator(), torch.tensor(groups))


def test_p_value_of_a_clear_shift_is_the_smallest_there_is():
    x, y = sample(20), sample(20, seed=1, shift=2.0)
    assert permutation_test(x, y, *kernels(), 99, torch.Generator().manual_seed(0)).p_value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("x", "y", "estimator", "message"),
    [
        (sample(1), sample(3), "unbiased", "two rows"),
        (sample(4), sample(2), "linear", "as many rows"),
        (sample(4), sample(4, 3), "biased", "compares"),
        (sample(4), sample(4), "exact", "'exact'"),
    ],
)
def test_what_cannot_be_estimated_is_refused(x, y, estimator, message):
    with pytest.raises(ValueError, match=message):
        mk_mmd(x, y, *kernels(), estimator)


def test_unequal_numbers_of_bandwidths_and_weights_are_refused():
    with pytest.raises(ValueError, match="one length"):
        mk_mmd(sample(3), sample(3), torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="'mode'"):
        joint_bandwidth(sample(3), sample(3), "mode")
