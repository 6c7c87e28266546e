"""Two gloo ranks with half of the batch each must equal one process with all of it: values and gradients.

Gradients are averaged over ranks by hand, as DistributedDataParallel does it; that and torchmetrics are not imported,
for their imports take each rank longer than all the rest.
"""

import math

import pytest
import torch
import torch.distributed as dist
from torch import nn

from rim_lightning.distributed import any_rank, gather_batch, is_distributed, masked_mean, mean_over_ranks
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.identity import IdentityLoss
from rim_lightning.losses.landmark import LandmarkLoss
from rim_lightning.losses.parsing import ParsingLoss
from rim_lightning.types import UNLABELED
from tests.helpers.ddp import run_ranks
from tests.helpers.tiny import domain_loss

ROWS = 8  # of the whole batch
LOSSES = ["domain unbiased", "domain biased", "domain linear", "domain smoothed", "domain queued", "masked mean"]
LOSSES += ["landmark", "parsing", "identity", "distillation"]
QUEUE = {"queue": 2 * ROWS}


def batch():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(ROWS, *shape, generator=generator, dtype=torch.float64)

    # The first rank has a single label of each kind, the second nearly all of them.
    points = draw(2, 2).abs() * 4
    points[: ROWS // 2] = math.nan
    points[1, 0] = 3.0
    parsing = torch.randint(0, 3, (ROWS, 4, 4), generator=generator).to(torch.uint8)
    parsing[: ROWS // 2] = UNLABELED
    parsing[2, 2, 2] = 1
    mask = torch.arange(ROWS) > 2
    return {"x": draw(5), "y": draw(5) + 1, "points": points, "parsing": parsing, "mask": mask, "target": draw(16)}


def evaluate(name, net, rows):
    """Loss `name` of some rows of the batch through `net`, (B, 5) -> (B, 32)."""
    data = {key: value[rows] for key, value in batch().items()}
    if name.startswith("domain"):
        x, y = net(data["x"]), net(data["y"])
        kind = name.split()[1]
        if kind not in ("smoothed", "queued"):
            return domain_loss(estimator=kind).double()(x, y)
        settings = {"smoothing": 0.5, "learned_weights": True} if kind == "smoothed" else QUEUE
        loss = domain_loss(**settings).double()
        loss(3 * x.detach(), y.detach())
        return loss(x, y)
    out = net(data["x"])
    if name == "masked mean":
        return masked_mean(out.square().sum(1), data["mask"])
    if name == "landmark":
        return LandmarkLoss(1.0, "mse")({"five": out.view(-1, 2, 4, 4)}, {"five": data["points"]}, 16)
    if name == "parsing":
        return ParsingLoss()(out[:, :27].reshape(-1, 3, 3, 3), data["parsing"])
    if name == "identity":
        return IdentityLoss()(out[:, :16], data["target"], data["mask"])
    teacher = [data["target"], 10 * data["target"][:, :8]]
    return StageDistillation("l2", normalize=True)(teacher, [out[:, :16], out[:, 16:24]], teacher)


def linear():
    torch.manual_seed(0)
    return nn.Linear(5, 32).double()


def losses(rows):
    results = {}
    for name in LOSSES:
        net = linear()
        loss = evaluate(name, net, rows)
        loss.backward()
        results[name] = {"loss": loss.detach(), "gradient": torch.cat([p.grad.flatten() for p in net.parameters()])}
    return results


def on_one_rank(rank, world):
    share = ROWS // world
    rows = slice(rank * share, (rank + 1) * share)
    results = losses(rows)
    for result in results.values():
        dist.all_reduce(result["gradient"])
        result["gradient"] /= world
    return {
        "losses": results,
        "mean": mean_over_ranks(torch.tensor([1.0 + rank, math.nan if rank == 1 else 0.0])),
        "any": any_rank([rank == 1, False], torch.device("cpu")),
        "gathered": gather_batch(torch.full((2, 3), float(rank))),
        "distributed": is_distributed(),
        "nothing labeled": masked_mean(torch.ones(2), torch.zeros(2, dtype=torch.bool)),
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run_ranks(on_one_rank, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def one_process():
    return losses(slice(None))


@pytest.mark.parametrize("name", LOSSES)
def test_two_ranks_have_the_gradient_of_one_process(name, ranks, one_process):
    expected = one_process[name]["gradient"]
    assert expected.abs().max() > 1e-6
    for rank in ranks:
        assert torch.allclose(rank["losses"][name]["gradient"], expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_over_ranks_is_the_value_of_one_process(name, ranks, one_process):
    values = torch.stack([rank["losses"][name]["loss"] for rank in ranks])
    assert values.mean().item() == pytest.approx(one_process[name]["loss"].item(), rel=1e-10)
    if name.startswith("domain"):
        assert values[0].item() == pytest.approx(values[1].item(), rel=1e-12)


def test_gathered_rows_come_in_rank_order(ranks):
    for rank in ranks:
        assert rank["gathered"].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert rank["distributed"]
        assert rank["nothing labeled"] == 0
        assert rank["mean"][0] == 1.5
        assert math.isnan(rank["mean"][1])
        assert rank["any"].tolist() == [1, 0]


def test_one_process_gathers_nothing_and_averages_what_is_labeled():
    x = torch.arange(6.0).view(3, 2)
    assert gather_batch(x) is x
    assert not is_distributed()
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    assert masked_mean(x, mask).item() == pytest.approx((0 + 4 + 5) / 3)
    assert masked_mean(x, torch.zeros_like(mask)).item() == 0


def test_masked_values_may_be_nan():
    values = torch.tensor([1.0, math.nan], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False]))
    mean.backward()
    assert mean.item() == 1
    assert values.grad.tolist() == [1.0, 0.0]
