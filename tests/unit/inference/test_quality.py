"""The quality of a probe: hand values, recovered weights, and how an answer says it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.functional.seeded_probes import CLEAN
from rim_lightning.inference.calibrate import missed_pairs, quality_of, thresholds_of
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card_schema import KNOWN_SIGNALS
from rim_lightning.inference.people import People
from rim_lightning.inference.quality import MissedPairs, QualityModel, fit_quality
from rim_lightning.inference.verdict import LOW_QUALITY, PooledQuality, ProbeQuality
from rim_lightning.networks.probe_signals import SIGNALS

BY_HAND = QualityModel(
    ("length", "residual", "spread"),
    (8, 32),
    ((1.0, 0.0, 5.0), (3.0, 0.0, 4.0)),
    ((1.0, 1.0, 0.5), (1.0, 1.0, 0.5)),
    (-1.0, 0.5, 2.0),
)


def calibration(quality=BY_HAND):
    """Two sizes, two FARs: rates of 1/2 and 3/4 at 8 px, 1/5 and 1/2 at 32 px."""
    frrs = np.array([[[[0.5, 0.75], [0.2, 0.5]]]])
    return Calibration("made up", "", 9, 9, 9, (1,), (8, 32), (1e-2, 1e-3), 0 * frrs, frrs, quality=quality)


def test_signals_of_the_mean_have_the_rate_of_the_size():
    assert BY_HAND.missed(0.3, [1.0, 0.0, 5.0], 8) == pytest.approx(0.3)
    assert BY_HAND.missed(0.3, [2.0, 0.0, 4.5], 16) == pytest.approx(0.3)  # half-way over the logarithm
    assert BY_HAND.missed(0.3, [3.0, 0.0, 4.0], 99) == pytest.approx(0.3)


def test_a_rise_by_hand():
    """One standard deviation shorter (+1), 2 of the residual (+1), half of one of the spread less (-1): log odds +1."""
    odds = 0.3 / 0.7 * math.e
    assert BY_HAND.missed(0.3, [0.0, 2.0, 4.75], 8) == pytest.approx(odds / (1 + odds))
    assert [BY_HAND.missed(rate, [0.0, 2.0, 4.75], 8) for rate in (0.0, 1.0)] == [0.0, 1.0]


def test_the_score_is_that_of_one_far_and_the_missed_pairs_those_of_the_answer():
    quality = calibration().probe_quality([0.0, 0.0, 5.0], 8, 1e-3)  # log odds +1
    assert quality.score == pytest.approx(1 - math.e / (1 + math.e))
    assert quality.missed == pytest.approx(3 * math.e / (1 + 3 * math.e))
    assert calibration().probe_quality([0.0, 0.0, 5.0], 8, 1e-2).score == quality.score


def test_what_is_not_known_is_not_said():
    at_mean = [1.0, 0.0, 5.0]
    assert calibration(None).probe_quality(at_mean, 8, 1e-2) is None
    assert calibration().probe_quality([math.nan, 0.0, 5.0], 8, 1e-2) is None
    assert calibration().probe_quality(at_mean, 6.3, 1e-2) is None  # nothing of that size was measured
    assert calibration().probe_quality(at_mean, 41, 1e-2) is None
    assert calibration().probe_quality(at_mean, 39, 1e-2) is not None
    one_far = replace(calibration(), fars=(1e-1, 1e-3))
    assert one_far.probe_quality(at_mean, 8, 1e-3) is None


def test_a_calibration_with_quality_survives_a_json_file():
    plain = json.loads(json.dumps(calibration().to_plain()))
    assert Calibration.from_plain(plain) == calibration()
    assert Calibration.from_plain(plain).quality == BY_HAND
    assert "quality" not in calibration(None).to_plain()


def test_only_low_quality_is_said():
    assert ProbeQuality(LOW_QUALITY, 0.9).caution() is None
    assert ProbeQuality(0.1, 0.9).caution().endswith("of 100 true pairs with such a probe, about 90 would be missed")
    assert ProbeQuality(0.01, 0.998).caution().endswith("more than 99 would be missed")


def made_up(weights, seed=0, probes=3000):
    rng = np.random.default_rng(seed)
    found = {}
    for size, rate in ((8, 0.8), (16, 0.4)):
        signals = rng.normal(size, 3, (probes, 2))
        odds = math.log(rate / (1 - rate)) + (signals - size) / 3 @ np.array(weights)
        pairs = np.full(probes, 10.0)
        found[size] = MissedPairs(signals, rng.binomial(10, 1 / (1 + np.exp(-odds))).astype(float), pairs)
    return found


def test_the_weights_that_made_the_misses_are_found():
    quality = fit_quality(("a", "b"), made_up([0.7, -0.3]))
    assert quality.weights == pytest.approx((0.7, -0.3), abs=0.05)
    assert quality.sizes == (8, 16)
    assert quality.means[1] == pytest.approx((16, 16), abs=0.3)
    assert quality.spreads[0] == pytest.approx((3, 3), abs=0.2)


def test_nothing_is_fitted_where_nothing_is_missed():
    probes = made_up([0.7, -0.3])
    every = probes[8]._replace(missed=probes[8].pairs)
    assert fit_quality(("a", "b"), {8: every, 16: probes[16]}).sizes == (16,)
    assert fit_quality(("a", "b"), {8: every}) is None
    constant = probes[8]._replace(signals=np.ones((3000, 2)))
    assert fit_quality(("a", "b"), {8: constant}) is None


def noisy_people(count=60, images=3, seed=0):
    """Directions with noise; the signal `length` falls where the noise is large."""
    random = torch.Generator().manual_seed(seed)
    centers = F.normalize(torch.randn(count, 8, generator=random)).repeat_interleave(images, 0)
    noise = torch.rand(len(centers), 1, generator=random)
    sharp = F.normalize(centers + 0.05 * torch.randn(centers.shape, generator=random))
    probes = F.normalize(centers + noise * torch.randn(centers.shape, generator=random))
    other = 0.01 * torch.randn(len(centers), 2, generator=random)
    identity = torch.arange(count).repeat_interleave(images)
    signals = torch.cat([-noise, other], dim=1)
    return People("made up", "", False, CLEAN, identity, sharp, {8: probes}, {}, signals={8: signals})


def test_missed_pairs_by_hand():
    people = noisy_people(count=3, images=2)
    missed, pairs = missed_pairs(people, 8, 1e-2, threshold=0.9)
    assert pairs.tolist() == [1] * 6
    scores = [float(people.sharp[place ^ 1] @ people.probes[8][place]) for place in range(6)]
    assert missed.tolist() == [score < 0.9 for score in scores]
    assert 0 < sum(missed) < 6


def test_the_thresholds_come_with_a_quality_that_sees_the_noise():
    people = noisy_people(count=200)
    quality = thresholds_of(people).quality
    assert quality == quality_of(people)
    assert quality.signals == SIGNALS == KNOWN_SIGNALS
    assert quality.weights[0] < -0.5
    assert max(map(abs, quality.weights[1:])) < 0.25
    assert thresholds_of(people._replace(signals={})).quality is None
    lost = people._replace(signals={8: torch.full((600, 3), torch.nan)})
    assert quality_of(lost) is None


def test_the_quality_of_pooled_probes_is_that_of_each_alone():
    """Log odds +1 at 8 px (1/2 missed), the mean at 32 px (1/5 missed), and a size that was not measured."""
    low = 1 - math.e / (1 + math.e)
    pooled = calibration().pooled_quality([[0.0, 0.0, 5.0], [3.0, 0.0, 4.0], [3.0, 0.0, 4.0]], [8, 32, 99])
    assert pooled.scores == (pytest.approx(low), pytest.approx(0.8), None)
    assert pooled.best == pytest.approx(0.8)
    assert pooled.mean == pytest.approx((low + 0.8) / 2)
    assert pooled.in_words() == (
        "quality of 2 of the 3 probes, each alone: best 0.80, mean 0.53 (0 is worst); pooled: not measured"
    )
    assert calibration().pooled_quality([[3.0, 0.0, 4.0]], [32]) is None  # a single probe has a quality of its own
    assert calibration().pooled_quality([[3.0, 0.0, 4.0]] * 2, [99, 99]) is None
    assert calibration(None).pooled_quality([[3.0, 0.0, 4.0]] * 2, [32, 32]) is None


@pytest.mark.parametrize(
    ("scores", "warned"),
    [((0.1, 0.24), True), ((0.1, LOW_QUALITY), False), ((0.1, None), False), ((0.9, 0.1), False)],
)
def test_pooled_probes_are_of_low_quality_only_if_each_is(scores, warned):
    caution = PooledQuality.of(scores).caution()
    assert (caution is not None) == warned
    if warned:
        assert caution.startswith("low quality of each of the 2 probes, alone; ")
        assert "100" not in caution  # no share, because none was measured
