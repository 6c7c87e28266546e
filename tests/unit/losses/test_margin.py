"""Margin softmax against the papers' formulas in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.types import NO_IDENTITY


def reference(embedding, centers, identity, kind, margin, scale):
    """Per-sample loss, straight from the papers: -log softmax of s cos(θ_y + m) or s (cos θ_y - m)."""
    losses = []
    for e, y in zip(embedding.double(), identity.tolist(), strict=True):
        cosines = [float(e @ c / (e.norm() * c.norm())) for c in centers.double().T]
        if kind == "arcface":
            angle = math.acos(cosines[y])
            # Beyond π - m the reference implementations continue with a line, to stay monotone.
            fallback = cosines[y] - margin * math.sin(margin)
            cosines[y] = math.cos(angle + margin) if angle <= math.pi - margin else fallback
        elif kind == "cosface":
            cosines[y] -= margin
        logits = [scale * c for c in cosines]
        top = max(logits)
        losses.append(top + math.log(sum(math.exp(v - top) for v in logits)) - logits[y])
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize(("kind", "margin"), [("arcface", 0.5), ("cosface", 0.35), ("softmax", 0.0)])
def test_equals_the_papers_formula_and_skips_the_unlabeled(kind, margin):
    torch.manual_seed(0)
    loss = MarginSoftmax(5, 4, kind, margin, scale=16.0)
    embedding = torch.randn(6, 5) * 3
    identity = torch.tensor([0, 3, NO_IDENTITY, 1, 1, NO_IDENTITY])
    labeled = identity != NO_IDENTITY
    expected = reference(embedding[labeled], loss.criterion.W.detach(), identity[labeled], kind, margin, 16.0)
    terms = loss(embedding, identity)
    torch.testing.assert_close(terms["loss"].double(), expected.mean(), rtol=1e-4, atol=1e-4)
    cosines = F.normalize(embedding[labeled]) @ F.normalize(loss.criterion.W, dim=0)
    assert float(terms["accuracy"]) == (cosines.argmax(dim=1) == identity[labeled]).float().mean()
    changed = embedding.clone()
    changed[~labeled] = 100.0
    assert torch.equal(loss(changed, identity)["loss"], terms["loss"])


@pytest.mark.parametrize(("kind", "margin"), [("arcface", 0.5), ("cosface", 0.35)])
def test_gradient_is_finite_on_the_center_itself_and_zero_without_labels(kind, margin):
    loss = MarginSoftmax(2, 2, kind, margin, scale=64.0)
    with torch.no_grad():
        loss.criterion.W.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    embedding = torch.tensor([[2.0, 0.0], [2.0, 0.0]], requires_grad=True)
    loss(embedding, torch.tensor([0, 1]))["loss"].backward()  # cosines of exactly 1 and -1
    assert embedding.grad.isfinite().all()
    assert loss.criterion.W.grad.isfinite().all()
    unlabeled = loss(embedding, torch.full((2,), NO_IDENTITY))["loss"]
    gradients = torch.autograd.grad(unlabeled, [embedding, loss.criterion.W])
    assert unlabeled.item() == 0
    assert not any(g.any() for g in gradients)


def test_autocast_changes_neither_the_loss_nor_the_dtype_of_the_centers():
    torch.manual_seed(0)
    loss = MarginSoftmax(8, 3, "arcface", margin=0.5, scale=64.0)
    embedding, identity = torch.randn(4, 8).bfloat16(), torch.tensor([0, 1, 2, 0])
    expected = loss(embedding.float(), identity)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        actual = loss(embedding, identity)["loss"]
    assert torch.equal(actual, expected)
    assert loss.criterion.W.dtype == torch.float32


def test_errors_name_the_value():
    with pytest.raises(ValueError, match='"softmax", got "triplet"'):
        MarginSoftmax(4, 2, "triplet", margin=0.5, scale=64.0)
    with pytest.raises(ValueError, match=r'margin of "softmax" is 0\.5'):
        MarginSoftmax(4, 2, "softmax", margin=0.5, scale=64.0)
    with pytest.raises(ValueError, match="Identity 2 in a batch, but MarginSoftmax was built for 2 people"):
        MarginSoftmax(4, 2, "arcface", margin=0.5, scale=64.0)(torch.randn(1, 4), torch.tensor([2]))


def test_centers_turn_to_their_people_within_a_short_training():
    """100 batches at 1e-3: centers that start long would stay where they started."""
    torch.manual_seed(0)
    people = F.normalize(torch.randn(20, 64), dim=1)
    loss = MarginSoftmax(64, 20, "arcface", margin=0.5, scale=64.0)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss(people, torch.arange(20))["loss"].backward()
        optimizer.step()
    centers = loss.criterion.W.detach().T
    assert F.cosine_similarity(centers, people).mean() > 0.6
