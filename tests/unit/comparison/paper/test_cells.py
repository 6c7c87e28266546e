"""Cells that several tables share: differences, and why a figure is missing."""

import torch

from rim_lightning.comparison.laboratory.laboratory import Verified
from rim_lightning.comparison.paper.cells import ahead_cell, attempt
from rim_lightning.comparison.plan.plan import NotTrained, Run


def test_no_difference_is_claimed_within_the_interval():
    half = Verified({}, torch.tensor([1.0, 0.0] * 50), torch.zeros(100))
    other = Verified({}, torch.tensor([0.0, 1.0] * 50), torch.zeros(100))
    assert ahead_cell(half, other).endswith("not different")
    assert not ahead_cell(Verified({}, torch.ones(100), torch.zeros(100)), other).endswith("not different")


def test_a_missing_figure_says_why():
    def measure(error, size=8):
        if error is not None:
            raise error
        return size

    assert attempt(measure, None, size=16) == 16
    assert attempt(measure, NotTrained(Run("key", None, (), "fhn, seed 0", ()))) == "not yet run"
    assert attempt(measure, ValueError("last.ckpt is damaged.")) == "failed: last.ckpt is damaged."
    assert attempt(measure, FileNotFoundError("There is no file x.")) == "failed: There is no file x."
