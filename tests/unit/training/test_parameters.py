import math

import pytest
import torch
from torch import nn

from rim_lightning.networks.rim import RIM
from rim_lightning.training.parameters import split_parameters
from rim_lightning.training.phases import PHASES, Phase
from rim_lightning.training.schedule import stage_schedule
from tests.helpers.tiny import MODEL, objective


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.rim = RIM(**MODEL)
        self.objective = objective()


def test_every_trainable_parameter_belongs_to_exactly_one_phase():
    parts = Parts()
    split = split_parameters(parts, PHASES)
    owned = [id(parameter) for parameters in split.values() for parameter in parameters]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(parameter) for parameter in parts.parameters() if parameter.requires_grad}
    assert all(split.values())
    teacher = {id(parameter) for parameter in parts.rim.hrn.teacher.parameters()}
    assert teacher
    assert not teacher & set(owned)


def test_an_orphan_and_a_shared_parameter_are_refused():
    parts = Parts()
    parts.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"No phase trains extra.weight"):
        split_parameters(parts, PHASES)
    twice = [*PHASES, Phase("again", ("rim.fhn.coarse",))]
    with pytest.raises(ValueError, match=r"rim.fhn.coarse belongs to the phases hallucination and again"):
        split_parameters(Parts(), twice)


def test_schedule_by_hand():
    schedule = stage_schedule([(10, 1.0), (4, 0.5)], warmup=0.2, final=0.1)
    assert schedule(0) == pytest.approx(0.5)  # 1/10 done of a warm-up that ends at 2/10
    assert schedule(1) == pytest.approx(1.0)
    assert schedule(5) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 0.5)) / 2)
    assert schedule(9) == pytest.approx(0.1)
    assert schedule(13) == pytest.approx(0.05)
    assert schedule(14) == pytest.approx(0.05)  # after the last batch


def test_constant_schedule():
    schedule = stage_schedule([(3, 1.0)], warmup=0.0, final=1.0)
    assert [schedule(i) for i in range(4)] == [1.0, 1.0, 1.0, 1.0]


def test_a_checkpoint_does_not_bring_back_an_old_schedule():
    """Resumed with longer stages, a run follows the longer schedule."""

    def scheduler(batches):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, stage_schedule([(batches, 1.0)], warmup=0.0, final=0.0))

    short, long = scheduler(4), scheduler(8)
    for _ in range(4):
        short.optimizer.step()
        short.step()
    assert short.get_last_lr() == [0.0]
    long.load_state_dict(short.state_dict())
    long.optimizer.step()
    long.step()
    assert long.get_last_lr() == [pytest.approx((1 + math.cos(math.pi * 6 / 8)) / 2)]
