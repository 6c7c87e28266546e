"""Center loss and the movement of its centers by hand, and on two ranks."""

import math

import pytest
import torch

from rim_lightning.losses.center import CenterLoss
from rim_lightning.types import NO_IDENTITY
from tests.helpers.ddp import run_ranks


def by_hand():
    """Two samples of person 0, one of person 2, none of person 1, one of nobody."""
    loss = CenterLoss(2, 3)
    loss.centers.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [1.0, -1.0]]))
    embedding = torch.tensor([[3.0, 0.0], [math.inf, math.nan], [1.0, 1.0], [0.0, 6.0]], requires_grad=True)
    return loss, embedding, torch.tensor([0, NO_IDENTITY, 2, 0])


def test_loss_and_gradient_by_hand():
    loss, embedding, identity = by_hand()
    value = loss(embedding, identity)
    assert value.item() == pytest.approx((9 / 2 + 4 / 2 + 36 / 2) / 3)
    value.backward()  # (x - c) / 3
    torch.testing.assert_close(embedding.grad[[0, 2, 3]] * 3, torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 6.0]]))
    assert loss(embedding, torch.full((4,), NO_IDENTITY)).item() == 0


def test_centers_move_by_eq_4():
    loss, embedding, identity = by_hand()
    value = loss(embedding, identity)
    loss.update(embedding, identity)
    # Person 0: 0.5 * ([3, 0] + [0, 6]) / (1 + 2); person 1 stays; person 2: [1, -1] + 0.5 * [0, 2] / (1 + 1).
    torch.testing.assert_close(loss.centers, torch.tensor([[0.5, 1.0], [5.0, 5.0], [1.0, -0.5]]))
    value.backward()  # an update between forward and backward does not reach the gradient
    torch.testing.assert_close(embedding.grad[3], torch.tensor([0.0, 2.0]))


def test_centers_are_state_and_not_parameters():
    loss, embedding, identity = by_hand()
    loss.update(embedding, identity)
    assert not list(loss.parameters())
    other = CenterLoss(2, 3)
    other.load_state_dict(loss.state_dict())
    assert other(embedding, identity) == loss(embedding, identity)


def batch():
    generator = torch.Generator().manual_seed(0)
    # The ranks share person 1; all that is unlabeled falls on the first.
    identity = torch.tensor([1, NO_IDENTITY, NO_IDENTITY, 3, 1, 1, 0, 2])
    return torch.randn(8, 5, generator=generator, dtype=torch.float64), identity


def two_steps(rows):
    loss = CenterLoss(5, 4).double()
    embedding, identity = batch()
    for scale in (1, 2):
        loss.update(scale * embedding[rows], identity[rows])
    return {"loss": loss(embedding[rows], identity[rows]), "centers": loss.centers}


def on_one_rank(rank, world):
    return two_steps(slice(4 * rank, 4 * rank + 4))


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    expected = two_steps(slice(None))
    first, second = run_ranks(on_one_rank, tmp_path)
    for rank in (first, second):
        torch.testing.assert_close(rank["centers"], expected["centers"], rtol=1e-12, atol=0)
    torch.testing.assert_close((first["loss"] + second["loss"]) / 2, expected["loss"], rtol=1e-12, atol=0)


def test_errors_name_the_value():
    with pytest.raises(ValueError, match=r"alpha of CenterLoss must lie in \[0, 1\], got 1.5"):
        CenterLoss(4, 2, 1.5)
    with pytest.raises(ValueError, match="Identity 2 in a batch, but CenterLoss was built for 2 people"):
        CenterLoss(4, 2)(torch.randn(1, 4), torch.tensor([2]))
