import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rim_lightning.losses.adversarial import RelativisticAdversarialLoss
from tests.helpers.ddp import run_ranks

LOSS = RelativisticAdversarialLoss()
SIDES = ["discriminator", "generator"]
ROWS = 6  # of the whole batch


def logits():
    return torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3


def log_sigmoid(x):
    return math.log(1 / (1 + math.exp(-x)))


def test_by_hand():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, -3.0])  # means 1 and −2
    expected = -(log_sigmoid(4) + log_sigmoid(2)) / 2 - (log_sigmoid(2) + log_sigmoid(4)) / 2
    assert LOSS.discriminator(real, fake).item() == pytest.approx(expected, rel=1e-6)
    expected = -(log_sigmoid(-4) + log_sigmoid(-2)) / 2 - (log_sigmoid(-2) + log_sigmoid(-4)) / 2
    assert LOSS.generator(real, fake).item() == pytest.approx(expected, rel=1e-6)
    for side in SIDES:
        assert getattr(LOSS, side)(real, real.mean().expand(2)).item() > 2 * math.log(2)  # equal means, convex
        assert getattr(LOSS, side)(torch.ones(3), torch.ones(3)).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize(("side", "of_real", "of_fake"), [("discriminator", 1.0, 0.0), ("generator", 0.0, 1.0)])
def test_is_the_cross_entropy_of_relative_logits(side, of_real, of_fake):
    real, fake = logits()
    expected = F.binary_cross_entropy((real - fake.mean()).sigmoid(), torch.full_like(real, of_real))
    expected = expected + F.binary_cross_entropy((fake - real.mean()).sigmoid(), torch.full_like(fake, of_fake))
    assert getattr(LOSS, side)(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("side", SIDES)
def test_gradient_equals_finite_differences(side):
    real, fake = (row.clone().requires_grad_() for row in logits())
    assert torch.autograd.gradcheck(getattr(LOSS, side), (real, fake))


def test_one_step_parts_or_joins_the_two():
    for side, sign in (("discriminator", 1), ("generator", -1)):
        real, fake = (row.clone().requires_grad_() for row in logits())
        of_real, of_fake = torch.autograd.grad(getattr(LOSS, side)(real, fake), (real, fake))
        assert (sign * of_real).max() < 0 < (sign * of_fake).min()


def test_large_logits_and_half_precision_stay_finite():
    real, fake = torch.tensor([3e4, 2e4]).half(), torch.tensor([-3e4, -2e4]).half().requires_grad_()
    value = LOSS.generator(real, fake)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(1e5)  # softplus(x) = x for a large x: 5e4 and 5e4
    assert fake.grad.isfinite().all()
    assert fake.grad.max() < 0


def evaluate(rows):
    """Value and gradient of each side for some rows of the batch."""
    torch.manual_seed(0)
    network = nn.Linear(4, 1).double()
    faces = torch.randn(2, ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))[:, rows]
    results = {}
    for side in SIDES:
        loss = getattr(LOSS, side)(network(faces[0]).squeeze(1), network(2 * faces[1]).squeeze(1).square())
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        results[side] = {"loss": loss.item(), "gradient": torch.cat([g.flatten() for g in gradients])}
    return results


def on_one_rank(rank, world):
    share = ROWS // world
    return evaluate(slice(rank * share, (rank + 1) * share))


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    ranks, whole = run_ranks(on_one_rank, tmp_path), evaluate(slice(None))
    for side in SIDES:
        # Gradients are averaged over ranks, as DistributedDataParallel does it.
        gradient = torch.stack([rank[side]["gradient"] for rank in ranks]).mean(0)
        torch.testing.assert_close(gradient, whole[side]["gradient"], rtol=1e-10, atol=1e-13)
        assert whole[side]["gradient"].abs().min() > 1e-3
        assert [rank[side]["loss"] for rank in ranks] == pytest.approx([whole[side]["loss"]] * 2, rel=1e-12)
