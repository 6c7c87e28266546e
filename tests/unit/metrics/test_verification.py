import math
import warnings

import pytest
import torch

from rim_lightning.functional.pairs import sample_balanced_pairs
from rim_lightning.functional.verification import kfold_accuracy, roc_auc, tar_at_far
from rim_lightning.metrics.verification import IdentityVerification


def faces(people=12, each=4, noise=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    identity = torch.arange(people).repeat_interleave(each)
    centers = torch.randn(people, 8, generator=generator)
    gallery, probe = centers[identity] + noise * torch.randn(2, len(identity), 8, generator=generator)
    return gallery, probe, identity, torch.arange(len(identity))


def test_figures_are_those_of_the_sampled_pairs():
    gallery, probe, identity, index = faces()
    metric = IdentityVerification(pairs=60, seed=3, folds=5)
    metric.update(gallery, probe, identity, index)
    figures = metric.compute()
    first, second, folds = sample_balanced_pairs(identity, 60, 5, 3)
    scores = torch.stack(
        [gallery[i] @ probe[j] / (gallery[i].norm() * probe[j].norm()) for i, j in zip(first, second, strict=True)]
    )
    same = identity[first] == identity[second]
    mean, std, _ = kfold_accuracy(scores, same, folds)
    assert figures["accuracy"].item() == pytest.approx(mean)
    assert figures["accuracy_std"].item() == pytest.approx(std)
    assert figures["auc"].item() == pytest.approx(roc_auc(scores, same), abs=1e-6)
    assert figures["pairs"] == 120
    assert figures["tar_at_far_1e-1"].isnan()  # 6 of 60 impostors
    assert tar_at_far(scores, same, 0.1) is None


def test_tar_appears_with_enough_impostors():
    metric = IdentityVerification(pairs=200, seed=0, folds=2)
    metric.update(*faces(people=20, each=6))
    figures = metric.compute()
    assert 0 < figures["tar_at_far_1e-1"] <= 1
    assert figures["tar_at_far_1e-2"].isnan()


def test_people_with_distinct_embeddings_are_separated_and_random_ones_are_not():
    clear, blind = IdentityVerification(200, seed=0), IdentityVerification(200, seed=0)
    clear.update(*faces(people=40, noise=0.01))
    blind.update(*faces(people=40, noise=1000.0))
    assert clear.compute()["accuracy"] > 0.97
    assert clear.compute()["eer"] < 0.03
    assert blind.compute()["accuracy"].item() == pytest.approx(0.5, abs=0.1)
    assert blind.compute()["auc"].item() == pytest.approx(0.5, abs=0.1)


def test_order_batches_and_repeats_do_not_matter():
    states = faces()
    whole, parts = (IdentityVerification(60, seed=0, folds=5) for _ in range(2))
    whole.update(*states)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    for rows in (order[:20], order[20:], order[5:9]):
        parts.update(*(state[rows] for state in states))
    expected, figures = whole.compute(), parts.compute()
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, nan_ok=True
    )


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_too_few_people_give_nan_not_an_error():
    metric = IdentityVerification(10, seed=0)
    assert math.isnan(metric.compute()["accuracy"])
    metric.reset()
    metric.update(*faces(people=3))
    figures = metric.compute()
    assert figures["accuracy"].isnan()
    assert figures["pairs"] == 20  # one fold: no other to choose a threshold on


def test_data_without_people_are_nothing_to_warn_of():
    with warnings.catch_warnings(record=True) as raised:
        figures = IdentityVerification(pairs=10, seed=0).compute()
    assert not raised
    assert figures["pairs"] == 0
    assert figures["accuracy"].isnan()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="got 0 and 10"):
        IdentityVerification(0, seed=0)
    with pytest.raises(ValueError, match="got 5 and 1"):
        IdentityVerification(5, seed=0, folds=1)
