import math

import pytest
import torch

from rim_lightning.losses.pixel import PixelLoss


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l2", (0.25 + 1.0) / 12),
        ("l1", (0.5 + 1.0) / 12),
        ("charbonnier", (math.sqrt(0.25 + 1e-6) + math.sqrt(1 + 1e-6) + 10 * 1e-3) / 12),
    ],
)
def test_by_hand(kind, expected):
    target = torch.zeros(1, 3, 2, 2)
    prediction = target.clone()
    prediction[0, 0, 0, 0], prediction[0, 2, 1, 1] = 0.5, -1.0
    assert PixelLoss(kind)(prediction, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["l2", "l1", "charbonnier"])
def test_gradient_equals_finite_differences(kind):
    prediction = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = prediction.flip(0) + 0.3
    loss = PixelLoss(kind)
    assert torch.autograd.gradcheck(lambda p: loss(p, target), prediction.requires_grad_())


def test_bfloat16_is_computed_in_fp32():
    prediction = torch.randn(2, 3, 8, 8).bfloat16()
    target = torch.randn(2, 3, 8, 8)
    value = PixelLoss("l2")(prediction, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(((prediction.double() - target.double()) ** 2).mean().item(), rel=1e-5)


def test_other_kinds_and_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="'huber'"):
        PixelLoss("huber")
    with pytest.raises(ValueError, match="differ in shape"):
        PixelLoss("l2")(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
