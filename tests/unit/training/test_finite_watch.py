"""A figure that is not finite stops the run when the next batch is there, or when something is to be saved."""

import math

import pytest
import torch

from rim_lightning.training.finite_watch import FiniteWatch, NonFiniteLoss

NAMES = ("train/student/loss", "gradient/student")


def test_a_batch_is_judged_when_the_next_one_is_there():
    watch = FiniteWatch()
    watch.push(7, NAMES, torch.tensor([math.nan, 1.0]))
    with pytest.raises(NonFiniteLoss, match=r"Not finite at batch 7: train/student/loss is nan\. .*resume from it"):
        watch.push(8, NAMES, torch.ones(2))


def test_before_a_save_the_last_batch_is_judged():
    watch = FiniteWatch()
    watch.check()
    watch.push(0, NAMES, torch.tensor([1.0, math.inf]))
    with pytest.raises(NonFiniteLoss, match="batch 0: gradient/student is inf"):
        watch.check()


def test_later_changes_of_the_tensor_are_not_seen():
    figures = torch.ones(2)
    watch = FiniteWatch()
    watch.push(0, NAMES, figures)
    figures.fill_(math.nan)
    watch.check()
