import math

import pytest
import torch

from rim_lightning.functional.score_distribution import cumulative_score_distribution


def test_four_images_by_hand():
    scores = torch.tensor([20.0, 25.0, 25.0, math.inf])
    grid = torch.tensor([10.0, 20.0, 20.5, 25.0, 26.0])
    assert cumulative_score_distribution(scores, grid).tolist() == [1, 1, 0.75, 0.75, 0.25]


def test_equals_counting_on_an_unordered_grid_with_ties():
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(57, generator=generator) * 10).round() / 10
    grid = torch.cat([torch.rand(20, generator=generator), scores[:5]])
    expected = [sum(score >= x for score in scores.tolist()) / 57 for x in grid.tolist()]
    shares = cumulative_score_distribution(scores, grid)
    assert shares.tolist() == pytest.approx(expected)
    assert shares.dtype == torch.float64


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="vector of scores"):
        cumulative_score_distribution(torch.zeros(0), torch.zeros(1))
    with pytest.raises(ValueError, match="1 of 2"):
        cumulative_score_distribution(torch.tensor([1.0, math.nan]), torch.zeros(1))
