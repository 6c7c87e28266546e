import math

import pytest
import torch

from rim_lightning.functional.heatmaps import render_heatmaps
from rim_lightning.losses.landmark import LandmarkLoss

NAN = math.nan


def test_by_hand_pooled_over_schemes():
    # σ so small that a target is one pixel of 1. Grid 2 x 2 of an image 2 x 2.
    heatmaps = {"five": torch.full((1, 2, 2, 2), 0.5), "ibug68": torch.zeros(1, 1, 2, 2)}
    landmarks = {"five": torch.tensor([[[0.0, 0.0], [NAN, NAN]]]), "ibug68": torch.tensor([[[1.0, 0.0]]])}
    # Channels that count: (.5² * 4) / 4 = .25 and 1 / 4 = .25 of the labeled; the third has no say.
    assert LandmarkLoss(0.01, "mse")(heatmaps, landmarks, image_size=2).item() == pytest.approx(0.25)
    heatmaps["ibug68"] = torch.ones(1, 1, 2, 2)  # now 3 / 4
    assert LandmarkLoss(0.01, "mse")(heatmaps, landmarks, image_size=2).item() == pytest.approx(0.5)


def test_perfect_heatmaps_cost_nothing():
    points = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * 63
    heatmaps, _ = render_heatmaps(points, 64, 16, 1.5)
    assert LandmarkLoss(1.5, "mse")({"five": heatmaps}, {"five": points}, 64).item() == 0
    assert LandmarkLoss(1.5, "mse")({"five": heatmaps}, {"five": points + 4}, 64).item() > 1e-3


def test_unlabeled_points_have_no_influence():
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.rand(3, 4, 8, 8, dtype=torch.float64, generator=generator)
    points = torch.rand(3, 4, 2, dtype=torch.float64, generator=generator) * 30
    points[0, 1], points[1], points[2, 3, 0] = NAN, NAN, NAN
    labeled = points.isfinite().all(-1)
    target, _ = render_heatmaps(points, 32, 8, 1.0)
    by_loop = [((heatmaps[b, n] - target[b, n]) ** 2).mean() for b, n in labeled.nonzero().tolist()]
    changed = torch.where(labeled[..., None, None], heatmaps, 7.0).requires_grad_()
    loss = LandmarkLoss(1.0, "mse")({"five": changed}, {"five": points, "ibug68": points}, 32)
    loss.backward()
    assert loss.item() == pytest.approx(torch.stack(by_loop).mean().item())
    assert changed.grad[~labeled].abs().max() == 0
    assert changed.grad[labeled].abs().max() > 0


def test_a_batch_without_labels_gives_zero_and_a_zero_gradient():
    heatmaps = torch.rand(2, 5, 4, 4, requires_grad=True)
    loss = LandmarkLoss(1.0, "mse")({"five": heatmaps}, {"five": torch.full((2, 5, 2), NAN)}, 16)
    loss.backward()
    assert loss.item() == 0
    assert heatmaps.grad.abs().max() == 0


def test_what_does_not_fit_is_refused():
    loss = LandmarkLoss(1.0, "mse")
    heatmaps, points = {"five": torch.zeros(1, 5, 4, 4)}, torch.zeros(1, 5, 2)
    with pytest.raises(ValueError, match="no heatmaps"):
        loss({}, {"five": points}, 16)
    with pytest.raises(ValueError, match="no 'five' landmarks"):
        loss(heatmaps, {"ibug68": points}, 16)
    with pytest.raises(ValueError, match="do not fit"):
        loss(heatmaps, {"five": points[:, :4]}, 16)
    with pytest.raises(ValueError, match="do not fit"):
        loss({"five": torch.zeros(1, 5, 4, 8)}, {"five": points}, 16)


def test_cross_entropy_by_hand():
    """Targets of one cell, which the logits give 1/4 and 8/11 of the probability; the third point is not annotated."""
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, 0, 1] = math.log(8)
    points = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [NAN, 0.0]]])
    loss = LandmarkLoss(0.01, "cross_entropy")({"five": logits}, {"five": points}, image_size=2)
    assert loss.item() == pytest.approx((math.log(4) + math.log(11 / 8)) / 2)


def test_cross_entropy_is_least_at_the_target_itself():
    points = torch.rand(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 63
    target, _ = render_heatmaps(points, 64, 16, 1.5)
    logits = target.log().clamp(min=-50).requires_grad_()
    LandmarkLoss(1.5, "cross_entropy")({"five": logits}, {"five": points}, 64).backward()
    assert logits.grad.abs().max() < 1e-12


def test_a_point_far_outside_has_no_position():
    points = torch.tensor([[[10.0, 10.0], [90.0, 10.0]]])
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    LandmarkLoss(1.0, "cross_entropy")({"five": logits}, {"five": points}, 32).backward()
    assert logits.grad[0, 0].abs().max() > 0
    assert logits.grad[0, 1].abs().max() == 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="choose 'mse' or 'cross_entropy'"):
        LandmarkLoss(1.0, "entropy")
