import math

import pytest
import torch

from rim_lightning.losses.identity import IdentityLoss

EMBEDDING = torch.tensor([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
TARGET = torch.tensor([[2.0, 0.0], [0.0, -1.0], [4.0, 0.0]])  # cosines 1, -1, √½


def test_by_hand():
    assert IdentityLoss()(EMBEDDING, TARGET).item() == pytest.approx((0 + 2 + 1 - math.sqrt(0.5)) / 3)
    mask = torch.tensor([True, True, False])
    assert IdentityLoss()(EMBEDDING, TARGET, mask).item() == pytest.approx(1)


def test_masked_samples_and_the_target_get_no_gradient():
    embedding, target = EMBEDDING.clone().requires_grad_(), TARGET.clone().requires_grad_()
    IdentityLoss()(embedding, target, torch.tensor([False, False, True])).backward()
    assert embedding.grad[:2].abs().max() == 0
    assert embedding.grad[2].abs().max() > 0
    assert target.grad is None


def test_an_empty_mask_gives_zero_and_a_zero_gradient():
    embedding = EMBEDDING.clone().requires_grad_()
    loss = IdentityLoss()(embedding, TARGET, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert embedding.grad.abs().max() == 0


def test_gradient_equals_finite_differences():
    embedding = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = embedding.flip(0) + 0.1
    assert torch.autograd.gradcheck(lambda e: IdentityLoss()(e, target), embedding.requires_grad_())
