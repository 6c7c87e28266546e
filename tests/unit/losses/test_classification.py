"""The plain softmax against its formula, by hand."""

import math

import pytest
import torch

from rim_lightning.losses.classification import SoftmaxClassifier
from rim_lightning.types import NO_IDENTITY


def by_hand():
    loss = SoftmaxClassifier(2, 3)
    with torch.no_grad():
        loss.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]))
        loss.linear.bias.copy_(torch.tensor([0.0, 0.5, 1.0]))
    return loss


def test_equals_the_formula_and_skips_the_unlabeled():
    embedding = torch.tensor([[2.0, 0.0], [100.0, 100.0], [1.0, 1.0]], requires_grad=True)
    terms = by_hand()(embedding, torch.tensor([0, NO_IDENTITY, 2]))
    # Logits [2, 0.5, -1] of person 0, right; [1, 2.5, -1] of person 2, wrong.
    first = math.log(math.exp(2) + math.exp(0.5) + math.exp(-1)) - 2
    second = math.log(math.exp(1) + math.exp(2.5) + math.exp(-1)) + 1
    assert terms["loss"].item() == pytest.approx((first + second) / 2, rel=1e-6)
    assert terms["accuracy"].item() == 0.5
    terms["loss"].backward()
    assert embedding.grad[0].any()
    assert not embedding.grad[1].any()


def test_nothing_labeled_is_zero_without_gradient():
    loss, embedding = by_hand(), torch.ones(2, 2, requires_grad=True)
    terms = loss(embedding, torch.full((2,), NO_IDENTITY))
    gradients = torch.autograd.grad(terms["loss"], [embedding, *loss.parameters()])
    assert terms["loss"].item() == 0
    assert not any(g.any() for g in gradients)


def test_the_length_of_an_embedding_counts():
    loss, identity = by_hand(), torch.tensor([0])
    short, long = torch.tensor([[1.0, 0.0]]), torch.tensor([[9.0, 0.0]])
    assert loss(long, identity)["loss"] < loss(short, identity)["loss"] / 100


def test_autocast_does_not_change_the_loss():
    torch.manual_seed(0)
    loss = SoftmaxClassifier(8, 3)
    embedding, identity = torch.randn(4, 8).bfloat16(), torch.tensor([0, 1, 2, 0])
    logits = embedding.float() @ loss.linear.weight.T + loss.linear.bias
    expected = (logits.logsumexp(dim=1) - logits[torch.arange(4), identity]).mean()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(embedding, identity)["loss"], expected, rtol=1e-5, atol=1e-6)


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="Identity 3 in a batch, but SoftmaxClassifier was built for 3 people"):
        by_hand()(torch.randn(1, 2), torch.tensor([3]))
