import math

import pytest
import torch

from rim_lightning.metrics.nme import NormalizedMeanError

NAN = math.nan


def test_by_hand_with_the_eyes_of_five_points():
    target = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [NAN, NAN], [7.0, 9.0]]])
    prediction = target.nan_to_num(123.0) + torch.tensor([3.0, 4.0])  # every point off by 5
    metric = NormalizedMeanError("five")
    metric.update(prediction, target, torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(50)


def test_ibug68_is_normalized_by_the_outer_eye_corners():
    target = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * 50
    target[0, 36], target[0, 45] = torch.tensor([10.0, 10.0]), torch.tensor([40.0, 50.0])  # 50 apart
    prediction = target.clone()
    prediction[0, 3, 0] += 34.0
    metric = NormalizedMeanError("ibug68")
    metric.update(prediction, target, torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(100 * 34 / 68 / 50, rel=1e-5)


def test_eyes_by_the_centers_of_given_points():
    target = torch.tensor([[[0.0, 1.0], [2.0, -1.0], [9.0, 3.0], [13.0, -3.0]]])  # centers (1, 0) and (11, 0)
    metric = NormalizedMeanError("helen194", left_eye=[0, 1], right_eye=[2, 3])
    metric.update(target + torch.tensor([0.0, 2.0]), target, torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(20)


def test_helen194_is_normalized_by_the_eye_centers():
    """Eyes are points 134-153 and 114-133, as distributed by Le et al. counted from 0."""
    target = torch.rand(1, 194, 2, generator=torch.Generator().manual_seed(0)) * 50
    target[0, 134:154], target[0, 114:134] = torch.tensor([10.0, 10.0]), torch.tensor([40.0, 50.0])  # 50 apart
    metric = NormalizedMeanError("helen194")
    metric.update(target + torch.tensor([5.0, 0.0]), target, torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(10, rel=1e-5)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_repeats_and_faces_without_annotation_do_not_count():
    target = torch.tensor([[[0.0, 0.0], [10.0, 0.0]]]).repeat(4, 1, 1)
    target[1] = NAN  # no annotation
    target[2, 0] = NAN  # no eye distance
    prediction = target.nan_to_num(0.0)
    prediction[0] += torch.tensor([1.0, 0.0])
    prediction[3] += torch.tensor([3.0, 0.0])
    metric = NormalizedMeanError("five", left_eye=[0], right_eye=[1])
    assert math.isnan(metric.compute())
    metric.reset()
    metric.update(prediction, target, torch.arange(4))
    metric.update(prediction[3:], target[3:], torch.tensor([3]))
    assert metric.compute().item() == pytest.approx((10 + 30) / 2)


def test_unknown_eyes_are_refused():
    with pytest.raises(ValueError, match="'aflw19'"):
        NormalizedMeanError("aflw19", left_eye=[0])
