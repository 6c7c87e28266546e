import math

import pytest
import torch

from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.types import UNLABELED


def logits_of(classes_map, classes=4):
    return torch.nn.functional.one_hot(classes_map, classes).movedim(-1, 1).float()


def test_by_hand():
    truth = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, UNLABELED]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 2, 0, 2]]])
    metric = ParsingIoU(classes=4)
    metric.update(logits_of(predicted), truth, torch.tensor([0]))
    # Class 0: 2 of {3 true + 3 predicted − 2}; class 1: 2 of 3; class 2: 1 of 2; class 3 nowhere.
    assert metric.per_class().tolist() == pytest.approx([2 / 4, 2 / 3, 1 / 2, math.nan], nan_ok=True)
    assert metric.compute().item() == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_pooled_over_images_with_repeats_once():
    generator = torch.Generator().manual_seed(0)
    truth, predicted = torch.randint(0, 11, (2, 3, 6, 6), generator=generator)
    metric = ParsingIoU()
    metric.update(logits_of(predicted, 11), truth.to(torch.uint8), torch.tensor([5, 3, 9]))
    metric.update(logits_of(predicted[1:2], 11), truth[1:2].to(torch.uint8), torch.tensor([3]))
    expected = []
    for c in range(11):
        both, either = ((truth == c) & (predicted == c)).sum(), ((truth == c) | (predicted == c)).sum()
        expected.append((both / either).item())
    assert metric.per_class().tolist() == pytest.approx(expected, rel=1e-6)


def test_small_logits_are_enlarged_to_the_labels():
    predicted = torch.tensor([[[1, 2]]])
    truth = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2]]], dtype=torch.uint8)
    metric = ParsingIoU(classes=4)
    metric.update(logits_of(predicted), truth, torch.tensor([0]))
    assert metric.compute().item() == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_labels_give_nan():
    assert math.isnan(ParsingIoU().compute())
    metric = ParsingIoU()
    metric.update(torch.zeros(1, 11, 2, 2), torch.full((1, 4, 4), UNLABELED, dtype=torch.uint8), torch.tensor([0]))
    assert math.isnan(metric.compute())
