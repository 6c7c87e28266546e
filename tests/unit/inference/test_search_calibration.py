"""Thresholds of searches: interpolated by hand, in files, and chosen on people."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rim_lightning.functional.open_set import SearchedPeople
from rim_lightning.inference.calibrate import thresholds_of
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.search_calibration import SearchCalibration, SearchPoint
from tests.unit.inference.test_calibration import PEOPLE, made_up_people


def by_hand():
    """Sizes 8 and 32 px, galleries of 10 and 1,000, one FPIR; the smaller size has none for the larger gallery."""
    points = np.zeros((2, 2, 1, 6))
    points[..., 0] = np.array([[0.3, np.nan], [0.1, 0.5]])[..., None]
    points[..., 1] = np.array([[0.6, np.nan], [0.2, 0.4]])[..., None]
    points[..., 2:] = [0.01, 0.2, 0.1, 0.7]
    points[0, 1] = np.nan
    return SearchCalibration((8, 32), (10, 1000), (0.1,), points)


def calibration(searches):
    points = np.full((1, 1, 2, 1), 0.3)
    return Calibration(*PEOPLE, (1,), (8, 32), (0.1,), points, points, False, searches=searches)


def test_a_threshold_between_two_galleries_and_sizes():
    searches = calibration(by_hand())
    assert searches.search_point(32, 100, 0.1) == SearchPoint(
        pytest.approx(0.3), 0.1, pytest.approx(0.3), (0.01, 0.2), (0.1, 0.7)
    )
    assert searches.search_point(16, 10, 0.1).threshold == pytest.approx(0.2)
    assert searches.search_point(16, 3, 0.1).threshold == pytest.approx(0.2)  # below the smallest: its own
    assert searches.search_point(100, 0, 0.1).threshold == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("size", "gallery", "fpir", "sentence"),
    [
        (16, 1001, 0.1, r"The gallery has 1,001 pictures, and searches were measured up to 1,000: leave --fpir out"),
        (16, 100, 0.02, r"no thresholds for an FPIR of 0\.02: choose from 0\.1"),
        (8, 100, 0.1, r"too few people for an FPIR of 0\.1 at 8 px: choose a greater one"),
    ],
)
def test_what_was_not_measured_gets_a_sentence(size, gallery, fpir, sentence):
    with pytest.raises(ValueError, match=sentence):
        calibration(by_hand()).search_point(size, gallery, fpir)
    with pytest.raises(ValueError, match="The model has no thresholds of searches"):
        calibration(None).search_point(size, gallery, fpir)


def test_searches_survive_a_json_file():
    written = calibration(by_hand())
    read = Calibration.from_plain(json.loads(json.dumps(written.to_plain())))
    assert read == written
    np.testing.assert_array_equal(read.searches.points, by_hand().points)
    with pytest.raises(ValueError, match=r"Points of searches are \(2, 2, 2, 6\), got \(2, 2, 1, 6\)"):
        replace(by_hand(), fpirs=(0.1, 0.2))


def test_the_rates_in_words():
    point = SearchPoint(0.3, 0.01, 0.72, (0.005, 0.02), (0.65, 0.8))
    assert point.in_words() == (
        "about 1 of 100 searches for strangers give a false hit (95 % interval: 5 to 20 of 1,000), and 72 of 100 "
        "searches for people of the gallery find nothing (95 % interval: 65 to 80 of 100)"
    )


def test_thresholds_are_those_of_galleries_with_one_picture_of_each_person():
    people = made_up_people(count=40, images=3)
    searches = thresholds_of(people, fars=(0.1,), counts=(1,)).searches
    assert searches.galleries == (1, 3, 10, 30)  # of 40 people one is searched for
    random = torch.Generator().manual_seed(0)
    chosen = torch.stack([3 * person + torch.randint(3, (), generator=random) for person in range(40)])
    scores = people.sharp[chosen] @ people.probes[16].T
    searched = SearchedPeople(scores, people.identity, chosen[:, None] != torch.arange(120), torch.Generator(), 2)
    for column, gallery in enumerate(searches.galleries):
        threshold, fnir, low, high, *_ = searches.points[0, column, 0]
        assert searched.fpir(gallery, threshold) <= 0.1 + 1e-9
        assert searched.fpir(gallery, threshold - 0.02) > 0.1
        assert low <= 0.1 <= high
        mated = torch.stack([scores[person, probe] for probe, person in enumerate(people.identity)])
        others = chosen[people.identity] != torch.arange(120)
        assert fnir == pytest.approx((mated[others] < threshold).double().mean().item())
    thresholds = searches.points[0, :, 0, 0]
    assert (np.diff(thresholds) > 0).all()  # the larger the gallery, the stricter
    assert math.isfinite(thresholds[-1])
