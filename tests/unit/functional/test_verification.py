import math
from itertools import pairwise

import pytest
import torch

from rim_lightning.functional.verification import (
    cosine_similarity,
    equal_error_rate,
    kfold_accuracy,
    kfold_decisions,
    roc_auc,
    roc_curve,
    tar_at_far,
    threshold_at_far,
    thresholds_at_fars,
)

# Twelve pairs in three folds, small enough to do on paper.
SCORES = torch.tensor([0.9, 0.8, 0.35, 0.1, 0.7, 0.4, 0.5, 0.2, 0.9, 0.6, 0.6, 0.0])
SAME = torch.tensor([1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]).bool()
FOLDS = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)


def random_pairs(count=90, seed=0, levels=25):
    """Overlapping scores with many ties."""
    generator = torch.Generator().manual_seed(seed)
    same = torch.rand(count, generator=generator) < 0.5
    scores = torch.randn(count, generator=generator) + 1.2 * same
    return (scores * levels / 4).round() / levels, same, torch.arange(count) % 6


def brute_force_folds(scores, same, folds):
    scores, same, folds = scores.double().tolist(), same.tolist(), folds.tolist()
    accuracies, thresholds = [], []
    for fold in sorted(set(folds)):
        train = [(s, g) for s, g, f in zip(scores, same, folds, strict=True) if f != fold]
        test = [(s, g) for s, g, f in zip(scores, same, folds, strict=True) if f == fold]
        values = sorted({s for s, _ in train})
        candidates = [values[0] - 1, *((a + b) / 2 for a, b in pairwise(values)), values[-1] + 1]
        best, chosen = -1, None
        for candidate in candidates:
            hits = sum((s >= candidate) == g for s, g in train)
            if hits > best:
                best, chosen = hits, candidate
        thresholds.append(chosen)
        accuracies.append(sum((s >= chosen) == g for s, g in test) / len(test))
    return accuracies, thresholds


def test_thresholds_of_several_rates_are_those_of_each():
    random = torch.Generator().manual_seed(0)
    scores, same = torch.randn(500, generator=random), torch.rand(500, generator=random) < 0.2
    fars = (0.3, 0.1, 0.05, 0.01)
    thresholds = thresholds_at_fars(scores, same, fars)
    assert thresholds[:3] == [threshold_at_far(scores, same, far) for far in fars[:3]]
    assert math.isnan(thresholds[3])  # 4 of 400 pairs would decide


def test_cosine_ignores_length():
    a, b = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 3.0]]), torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, -0.5]])
    assert cosine_similarity(a, b).tolist() == pytest.approx([1, math.sqrt(0.5), -1])
    assert cosine_similarity(a.bfloat16(), b.bfloat16()).dtype == torch.float32


def test_twelve_pairs_by_hand():
    # Without fold 0: genuine .4 .6 .7 .9, impostor 0 .2 .5 .6. Thresholds in (.2, .4] get 4 + 2 right, as many as in
    # (.5, .6] and (.6, .7], others fewer. The lowest middle is .3; fold 0 has its impostor at .35 accepted: 3 of 4.
    # Without fold 1: genuine .6 .8 .9 .9, impostor 0 .1 .35 .6. (.35, .6] gets 4 + 3 right, the middle is .475; fold 1
    # has .4 refused and .5 accepted: 2 of 4.
    # Without fold 2: genuine .4 .7 .8 .9, impostor .1 .2 .35 .5. (.35, .4] gets 4 + 3 right, as does (.5, .7] with
    # 3 + 4; the lower middle is .375; fold 2 has its impostor at .6 accepted: 3 of 4.
    mean, std, thresholds = kfold_accuracy(SCORES, SAME, FOLDS)
    assert thresholds.tolist() == pytest.approx([0.3, 0.475, 0.375])
    assert mean == pytest.approx((0.75 + 0.5 + 0.75) / 3)
    assert std == pytest.approx(math.sqrt(((0.75 - 2 / 3) ** 2 * 2 + (0.5 - 2 / 3) ** 2) / 2))


def test_roc_figures_of_twelve_pairs_by_hand():
    # Genuine .9 .9 .8 .7 .6 .4 against impostor .6 .5 .35 .2 .1 0: of 36 comparisons .6 beats five and ties with one,
    # .4 beats four, the others win all six.
    assert roc_auc(SCORES, SAME) == pytest.approx((24 + 5.5 + 4) / 36)
    # At threshold .6 FAR = 1/6 and 1 − TAR = 1/6.
    assert equal_error_rate(SCORES, SAME) == pytest.approx(1 / 6)
    # Two of six impostors may pass: .6 and .5, so just above .35.
    assert threshold_at_far(SCORES, SAME, 1 / 3) == pytest.approx(0.35, abs=1e-6)
    tar, threshold = tar_at_far(SCORES, SAME, 1 / 3, min_impostors=2)
    assert tar == 1.0
    assert threshold == threshold_at_far(SCORES, SAME, 1 / 3)
    assert tar_at_far(SCORES, SAME, 0.0, min_impostors=0)[0] == pytest.approx(4 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_folds_equal_the_loop_over_every_threshold(seed):
    pairs = random_pairs(seed=seed)
    accuracies, expected = brute_force_folds(*pairs)
    mean, std, thresholds = kfold_accuracy(*pairs)
    assert thresholds.tolist() == pytest.approx(expected, abs=1e-12)
    assert mean == pytest.approx(sum(accuracies) / len(accuracies))
    assert std == pytest.approx(torch.tensor(accuracies).double().std().item())


def test_decisions_are_those_behind_the_accuracy():
    scores, same, folds = random_pairs()
    correct, thresholds = kfold_decisions(scores, same, folds)
    assert correct.tolist() == ((scores.double() >= thresholds[folds]) == same).tolist()


def test_a_held_out_fold_has_no_say_in_its_own_threshold():
    scores, same, folds = random_pairs()
    _, _, thresholds = kfold_accuracy(scores, same, folds)
    changed = torch.where(folds == 2, -scores, scores)
    assert kfold_accuracy(changed, same, folds)[2][2] == thresholds[2]


def test_separable_pairs_are_all_right_with_a_threshold_in_the_middle_of_the_gap():
    scores, same = torch.tensor([0.8, 0.9, 0.2, 0.1] * 2), torch.tensor([1, 1, 0, 0] * 2).bool()
    mean, std, thresholds = kfold_accuracy(scores, same, torch.tensor([0] * 4 + [1] * 4))
    assert (mean, std) == (1.0, 0.0)
    assert thresholds.tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("seed", range(3))
def test_roc_auc_and_eer_equal_counting(seed):
    scores, same, _ = random_pairs(seed=seed)
    genuine, impostor = scores[same], scores[~same]
    wins = (genuine[:, None] > impostor).double() + 0.5 * (genuine[:, None] == impostor).double()
    assert roc_auc(scores, same) == pytest.approx(wins.mean().item())
    far, tar, thresholds = roc_curve(scores, same)
    for f, t, threshold in zip(far.tolist(), tar.tolist(), thresholds.tolist(), strict=True):
        assert f == pytest.approx((impostor >= threshold).double().mean().item())
        assert t == pytest.approx((genuine >= threshold).double().mean().item())
    eer = equal_error_rate(scores, same)
    below = max(f for f, t in zip(far.tolist(), tar.tolist(), strict=True) if f <= 1 - t)
    above = min(f for f, t in zip(far.tolist(), tar.tolist(), strict=True) if f >= 1 - t)
    assert below <= eer <= above


@pytest.mark.parametrize("far", [0.0, 0.05, 0.1, 0.3, 0.7])
def test_threshold_at_far_is_the_lowest_that_keeps_the_rate(far):
    scores, same, _ = random_pairs(200)
    impostor = scores[~same]
    threshold = threshold_at_far(scores, same, far)
    assert (impostor >= threshold).double().mean() <= far
    lower = torch.nextafter(torch.tensor(threshold), torch.tensor(-math.inf))
    assert (impostor >= lower).double().mean() > far


def test_no_tar_where_fewer_than_ten_impostors_decide():
    scores, same = torch.linspace(0, 1, 2000), torch.arange(2000) % 2 == 0  # 1000 impostors
    assert tar_at_far(scores, same, 0.0099) is None
    tar, threshold = tar_at_far(scores, same, 0.01)
    assert tar == pytest.approx((scores[same] >= threshold).double().mean().item())
    assert (scores[~same] >= threshold).sum() == 10


def test_bad_pairs_are_refused():
    with pytest.raises(ValueError, match="1 of 12"):
        kfold_accuracy(SCORES.index_fill(0, torch.tensor([3]), math.nan), SAME, FOLDS)
    with pytest.raises(ValueError, match="two folds"):
        kfold_accuracy(SCORES, SAME, torch.zeros_like(FOLDS))
    with pytest.raises(ValueError, match="Give one fold per pair, got"):
        kfold_accuracy(SCORES, SAME, FOLDS[:3])
    with pytest.raises(ValueError, match="bool"):
        roc_auc(SCORES, SAME.long())
    with pytest.raises(ValueError, match="one kind is missing"):
        roc_auc(SCORES, torch.ones_like(SAME))
    with pytest.raises(ValueError, match="impostor"):
        threshold_at_far(SCORES, torch.ones_like(SAME), 0.1)
    with pytest.raises(ValueError, match="genuine"):
        tar_at_far(SCORES, torch.zeros_like(SAME), 0.1)
    with pytest.raises(ValueError, match=r"1.0"):
        threshold_at_far(SCORES, SAME, 1.0)
