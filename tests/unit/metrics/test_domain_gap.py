"""The gap of domains on unseen faces."""

import pytest
import torch

from rim_lightning.functional.mk_mmd import joint_bandwidth, mk_mmd
from rim_lightning.metrics.domain_gap import DomainGap
from rim_lightning.types import NO_IDENTITY

MULTIPLIERS = torch.tensor([0.5, 1.0, 2.0])


def gap(shift, faces=120, **settings):
    """Both embeddings of a face are nearly the same, as those of a well hallucinated one."""
    x = torch.randn(faces, 8, generator=torch.Generator().manual_seed(3))
    y = x + 0.01 * torch.randn(faces, 8, generator=torch.Generator().manual_seed(4))
    metric = DomainGap(MULTIPLIERS, **settings)
    for part in torch.randperm(faces, generator=torch.Generator().manual_seed(1)).split(7):
        metric.update(x[part], y[part] + shift, torch.full_like(part, NO_IDENTITY), part)
    return metric.compute(), x, y + shift


def test_value_is_the_unbiased_mmd_of_independent_halves():
    figures, x, y = gap(0.5)
    x, y = x[0::2], y[1::2]
    expected = mk_mmd(x, y, MULTIPLIERS * joint_bandwidth(x, y), torch.full((3,), 1 / 3))
    assert figures["mmd"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_p_value_tells_a_gap_from_none():
    assert gap(1.0)[0]["mmd_p"].item() == pytest.approx(1 / 200)
    p = gap(0.0)[0]["mmd_p"]
    assert 0.05 < p < 0.95  # with both embeddings of every face it would be 1


def test_the_pictures_of_a_person_are_in_one_sample():
    """Many pictures of few people, and no gap: the pictures of a person are all but the same."""
    generator = torch.Generator().manual_seed(0)
    person = torch.arange(20).repeat_interleave(6)
    x = torch.randn(20, 4, generator=generator)[person] + 0.01 * torch.randn(120, 4, generator=generator)
    metric = DomainGap(MULTIPLIERS)
    metric.update(x, x, person, torch.arange(120))
    assert 0.05 < metric.compute()["mmd_p"] < 0.95
    metric.update(x, x + 2, person, torch.arange(120, 240))
    metric.reset()
    metric.update(x, x + 2, person, torch.arange(120))
    assert metric.compute()["mmd_p"].item() == pytest.approx(1 / 200)


def test_repeats_do_not_count_and_the_first_faces_are_taken():
    metric = DomainGap(MULTIPLIERS, faces=10)
    x, y = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 1])
    metric.update(x[rows], y[rows], torch.full_like(rows, NO_IDENTITY), rows)
    x, y = x[0:10:2], y[1:10:2]
    expected = mk_mmd(x, y, MULTIPLIERS * joint_bandwidth(x, y), torch.full((3,), 1 / 3))
    assert metric.compute()["mmd"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_two_people_of_each_kind_nothing_is_known():
    assert DomainGap(MULTIPLIERS).compute()["mmd"].isnan()
    metric = DomainGap(MULTIPLIERS)
    metric.update(torch.zeros(9, 4), torch.zeros(9, 4), torch.arange(9) // 3, torch.arange(9))
    assert metric.compute()["mmd_p"].isnan()
