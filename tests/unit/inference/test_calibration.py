"""Thresholds against hand values, and against the definition on faces."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional import likelihood_ratio
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.likelihood_ratio import cllr, cllr_min, fit_logistic
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from rim_lightning.inference.calibrate import calibrate, thresholds_of
from rim_lightning.inference.calibration import Calibration, OperatingPoint
from rim_lightning.inference.people import People
from rim_lightning.inference.verdict import Ratio
from rim_lightning.networks.rim import RIM
from rim_lightning.types import to_unit
from tests.helpers.stores import noise_store
from tests.helpers.tiny import MODEL, perturbed

FARS = (0.1, 0.01)
PEOPLE = ("made up", "0123", 4, 20, 200)
BY_HAND = Calibration(
    *PEOPLE,
    counts=(1,),
    sizes=(8, 16, 32),
    fars=FARS,
    thresholds=np.array([[[[0.5, math.nan], [0.3, 0.6], [0.2, 0.4]]]]),
    frrs=np.array([[[[0.4, math.nan], [0.2, 0.5], [0.1, 0.3]]]]),
)
WRITTEN_BY_0_1 = (
    '{"faces": "made up", "digest": "0123", "people": 4, "genuine": 20, "impostors": 200, "counts": [1], '
    '"sizes": [8, 16, 32], "fars": [0.1, 0.01], '
    '"points": [[[[[0.5, 0.4], null], [[0.3, 0.2], [0.6, 0.5]], [[0.2, 0.1], [0.4, 0.3]]]]]}'
)


@pytest.mark.parametrize(
    ("size", "threshold", "frr"),
    [
        (7, 0.5, 0.4),  # below the smallest: its own
        (8, 0.5, 0.4),
        (math.sqrt(128), 0.4, 0.3),  # half-way between 8 and 16 over the logarithm
        (16, 0.3, 0.2),
        (8 * 2**1.25, 0.275, 0.175),
        (32, 0.2, 0.1),
        (500, 0.2, 0.1),
    ],
)
def test_a_threshold_between_two_sizes(size, threshold, frr):
    point = BY_HAND.operating_point(size, 0.1)
    assert (point.threshold, point.far, point.frr) == pytest.approx((threshold, 0.1, frr))


def test_a_threshold_between_two_counts():
    """Four corners of counts, by hand; half-way between 1 and 4 over the logarithm is 2."""

    thresholds = np.array([[0.1, 0.2], [0.3, 0.6]]).reshape(2, 2, 1, 1)
    frrs = np.array([[0.8, 0.6], [0.4, 0.2]]).reshape(2, 2, 1, 1)
    calibration = Calibration(*PEOPLE, (1, 4), (16,), (0.1,), thresholds, frrs)
    expected = {(1, 1): (0.1, 0.8), (4, 1): (0.3, 0.4), (1, 9): (0.2, 0.6), (2, 1): (0.2, 0.6), (2, 2): (0.3, 0.5)}
    for (probes, gallery), values in expected.items():
        point = calibration.operating_point(16, 0.1, probes, gallery)
        assert (point.threshold, point.frr) == pytest.approx(values), (probes, gallery)
    assert calibration.operating_point(16, 0.1) == OperatingPoint(0.1, 0.1, 0.8)


@pytest.mark.parametrize("far", [0.01, 1e-5])
def test_a_far_without_thresholds_gets_a_sentence(far):
    with pytest.raises(ValueError, match=f"no thresholds for a false accept rate of {far:g}: choose from 0.1."):
        BY_HAND.operating_point(16, far)


def test_a_calibration_without_usable_thresholds_gets_a_sentence():
    nowhere = np.full((1, 1, 3, 2), math.nan)
    calibration = Calibration(*PEOPLE, (1,), (8, 16, 32), FARS, nowhere, nowhere)
    with pytest.raises(ValueError, match="no usable thresholds: export it again with rim export --people"):
        calibration.operating_point(16, 0.1)


def test_only_a_far_with_all_thresholds_is_usable():
    assert BY_HAND.usable_fars() == [0.1]


def test_a_calibration_survives_a_json_file():
    assert Calibration.from_plain(json.loads(json.dumps(BY_HAND.to_plain()))) == BY_HAND


def test_the_file_is_that_of_version_0_1():
    assert json.dumps(BY_HAND.to_plain()) == WRITTEN_BY_0_1
    calibration = Calibration.from_plain(json.loads(WRITTEN_BY_0_1))
    np.testing.assert_array_equal(calibration.thresholds, BY_HAND.thresholds)
    np.testing.assert_array_equal(calibration.frrs, BY_HAND.frrs)
    assert calibration == BY_HAND
    assert calibration != replace(BY_HAND, frrs=BY_HAND.frrs + 0.1)


def with_ratios():
    """Two sizes and one FAR, with intervals and likelihood ratios of 100 people."""
    return Calibration(
        *PEOPLE,
        counts=(1,),
        sizes=(8, 32),
        fars=(0.1,),
        thresholds=np.array([[[[0.5], [0.3]]]]),
        frrs=np.array([[[[0.4], [0.2]]]]),
        intervals=np.array([[[[[0.05, 0.2, 0.3, 0.5]], [[0.07, 0.12, 0.1, 0.3]]]]]),
        ratios=np.array([[[[-1.0, 4.0, 2.0, 0.7, 0.6], [-3.0, 10.0, 2.0, 0.3, 0.2]]]]),
    )


def test_intervals_and_ratios_between_two_sizes():
    """log 16 lies half-way between log 8 and log 32."""
    point = with_ratios().operating_point(16, 0.1)
    assert point.far_interval == pytest.approx((0.06, 0.16))
    assert point.frr_interval == pytest.approx((0.2, 0.4))
    assert with_ratios().likelihood_ratio(0.4, 16) == pytest.approx((-2 + 7 * 0.4, 2, False))
    assert with_ratios().likelihood_ratio(0.3, 8) == pytest.approx((0.2, 2, False))
    assert with_ratios().likelihood_ratio(0.9, 32) == Ratio(2, 2, at_bound=True)
    assert with_ratios().likelihood_ratio(-0.5, 100) == Ratio(-2, 2, at_bound=True)
    assert BY_HAND.likelihood_ratio(0.3, 8) is None
    assert BY_HAND.operating_point(8, 0.1).far_interval is None


def test_intervals_and_ratios_survive_a_json_file():
    written = with_ratios()
    read = Calibration.from_plain(json.loads(json.dumps(written.to_plain())))
    assert read == written
    np.testing.assert_array_equal(read.intervals, written.intervals)
    np.testing.assert_array_equal(read.ratios, written.ratios)
    with pytest.raises(ValueError, match=r"Likelihood ratios are \(1, 1, 2, 5\), got \(1, 1, 2, 4\)"):
        replace(written, ratios=written.ratios[..., :4])


def test_points_that_do_not_fit_get_a_sentence():
    plain = json.loads(WRITTEN_BY_0_1) | {"counts": [1, 2]}
    with pytest.raises(ValueError, match=r"\"points\" is \(1, 1, 3, 2, 2\): it must be \(2, 2, 3, 2, 2\)"):
        Calibration.from_plain(plain)
    with pytest.raises(ValueError, match=r"are \(1, 1, 3, 1\), got \(1, 1, 3, 2\)"):
        replace(BY_HAND, fars=(0.1,))


@pytest.fixture
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


def faces_of(folder, identities):
    names = [f"{index}.png" for index in range(len(identities))]
    return FaceDataset(noise_store(folder, names, identities, {"ibug68": 68}, hr_size=32), "train")


def test_thresholds_are_those_of_all_pairs_of_two_images(rim, tmp_path):
    faces = faces_of(tmp_path, [*"aabbccddeeff", None])
    calibration = calibrate(rim, faces, "noise", "0123", sizes=(8, 20, 64), fars=FARS, batch_size=5)
    assert (calibration.people, calibration.genuine, calibration.impostors) == (6, 12, 120)
    assert calibration.sizes == (8, 20)  # the model's faces have 32 px
    assert calibration.counts == (1,)  # nobody has four images
    assert calibration.thresholds.shape == (1, 1, 2, 2)
    sharp = torch.stack([to_unit(faces[index].hr) for index in range(12)])
    for k, size in enumerate(calibration.sizes):
        with torch.no_grad():
            gallery = F.normalize(rim.embed_gallery(sharp))
            probe = F.normalize(rim.embed_probe(synthesize_probe(sharp, torch.full((12,), size))))
        scores = gallery @ probe.T
        person = torch.arange(12) // 2
        genuine = [scores[i, j] for i in range(12) for j in range(12) if i != j and person[i] == person[j]]
        impostor = [scores[i, j] for i in range(12) for j in range(12) if person[i] != person[j]]
        threshold, undecided = calibration.thresholds[0, 0, k]
        assert math.isnan(undecided)  # 120 impostor pairs say nothing about 1 in 100
        assert math.isnan(calibration.frrs[0, 0, k, 1])
        accepted = sum(score >= threshold for score in impostor)
        assert accepted <= 12
        assert sum(score >= threshold - 1e-4 for score in impostor) > accepted
        refused = sum(score < threshold for score in genuine)
        assert calibration.frrs[0, 0, k, 0] == pytest.approx(float(refused) / 12, abs=1e-6)


def test_thresholds_of_probes_of_cameras_are_those_of_seeded_probes(rim, tmp_path):
    faces = faces_of(tmp_path, [*"aabbccddeeff", None])
    kind = ProbeKind("camera", "detector")
    calibration = calibrate(rim, faces, "noise", "0123", sizes=(16,), fars=(0.1,), batch_size=5, kind=kind)
    sharp = torch.stack([to_unit(faces[index].hr) for index in range(12)])
    with torch.no_grad():
        probe = F.normalize(rim.embed_probe(seeded_probes(sharp, 16, kind, range(12))))
        scores = F.normalize(rim.embed_gallery(sharp)) @ probe.T
    person = torch.arange(12) // 2
    genuine = scores[(person[:, None] == person) & ~torch.eye(12, dtype=torch.bool)]
    refused = (genuine < calibration.thresholds[0, 0, 0, 0]).double().mean()
    assert calibration.frrs[0, 0, 0, 0] == pytest.approx(refused.item(), abs=1e-6)
    assert calibration.chosen_on.in_words().endswith("probes made by camera, moved as by a detector's points")
    assert Calibration.from_plain(json.loads(json.dumps(calibration.to_plain()))) == calibration


def test_thresholds_of_templates_are_those_of_all_pairs_without_a_common_image(rim, tmp_path):
    people = "aaaabbbbbccccd"
    faces = faces_of(tmp_path, [*people])
    calibration = calibrate(rim, faces, "noise", "0123", sizes=(8,), fars=(0.1,), counts=(1, 2, 3))
    assert calibration.counts == (1, 2)
    sharp = torch.stack([to_unit(faces[index].hr) for index in range(len(people))])
    with torch.no_grad():
        gallery = F.normalize(rim.embed_gallery(sharp))
        probe = F.normalize(rim.embed_probe(synthesize_probe(sharp, torch.full((len(people),), 8))))
    a, b, c = [0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 12]
    pairs = [{images[i], images[(i + 1) % len(images)]} for images in (a, b, c) for i in range(len(images))]
    single = [{index} for index in range(len(people))]
    for (i, probes), (j, sharps) in itertools.product(enumerate((single, pairs)), repeat=2):
        genuine, impostor = [], []
        for one, other in itertools.product(probes, sharps):
            if one & other:
                continue
            mean, other_mean = probe[list(one)].mean(0), gallery[list(other)].mean(0)
            score = float(F.cosine_similarity(mean, other_mean, dim=0))
            (genuine if people[min(one)] == people[min(other)] else impostor).append(score)
        threshold, frr = calibration.thresholds[i, j, 0, 0], calibration.frrs[i, j, 0, 0]
        assert sum(score >= threshold + 1e-6 for score in impostor) <= 0.1 * len(impostor)
        assert sum(score >= threshold - 1e-4 for score in impostor) > 0.1 * len(impostor) - 1
        refused = sum(score < threshold for score in genuine) / len(genuine)
        assert frr == pytest.approx(refused, abs=1e-6), (i, j)


def made_up_people(count=30, images=4, seed=0):
    """People whose embeddings are a center and noise."""
    torch.manual_seed(seed)
    identity = torch.arange(count).repeat_interleave(images)
    centers = torch.randn(count, 16)[identity]
    sharp, probes = (F.normalize(centers + spread * torch.randn(len(identity), 16)) for spread in (0.5, 1.0))
    return People("made up", "0", True, CLEAN, identity, sharp, {16: probes}, {})


def test_the_ratio_is_fitted_to_all_pairs_of_two_images():
    people = made_up_people()
    calibration = thresholds_of(people, fars=(0.1,), counts=(1, 2))
    different = ~torch.eye(len(people.identity), dtype=torch.bool)
    scores = (people.sharp @ people.probes[16].T)[different].double().numpy()
    same = (people.identity[:, None] == people.identity)[different].numpy()
    intercept, slope, bound, cost, least = calibration.ratios[0, 0, 0]
    expected = fit_logistic(scores, same)
    assert (intercept, slope) == pytest.approx(expected, rel=1e-4)
    assert bound == pytest.approx(math.log10(30))  # of 30 people
    assert cost == pytest.approx(cllr(expected.log10(scores).clip(-bound, bound), same), rel=1e-4)
    assert least == pytest.approx(cllr_min(scores, same), rel=1e-4)
    costs = calibration.ratios[..., 0, 3]
    assert costs[1, 1] < costs[0, 1] < costs[0, 0]  # more pictures say more
    low, high, frr_low, frr_high = calibration.intervals[0, 0, 0, 0]
    assert 0.05 < low < 0.1 < high < 0.2
    assert frr_low <= calibration.frrs[0, 0, 0, 0] <= frr_high


def test_of_many_pairs_the_ratio_takes_some(monkeypatch):
    people = made_up_people()
    (every,) = thresholds_of(people, fars=(0.1,), counts=(1,)).ratios[0, 0]
    monkeypatch.setattr(likelihood_ratio, "MAX_STRANGERS", 3000)
    (some,) = thresholds_of(people, fars=(0.1,), counts=(1,)).ratios[0, 0]
    assert some == pytest.approx(every, rel=0.1)
    assert some != pytest.approx(every, rel=1e-6)


def test_similarities_that_say_nothing_have_a_ratio_of_one():
    people = made_up_people()
    turned = people._replace(probes={16: -people.probes[16]})
    (ratio,) = thresholds_of(turned, fars=(0.1,), counts=(1,)).ratios[0, 0]
    assert ratio[:2].tolist() == [0, 0]
    assert ratio[3] == 1


def test_a_rate_that_two_lookalikes_decide_has_a_wide_interval():
    """All of the 32 accepted pairs of pictures are of the same two people: without them nobody is accepted."""
    people = made_up_people()
    people.sharp[:8] = people.probes[16][:8] = people.sharp[0].clone()
    far = 32 / (120 * 116)
    low, high, *_ = thresholds_of(people, fars=(far,), counts=(1,)).intervals[0, 0, 0, 0]
    assert low == 0
    assert high > 2 * far


@pytest.mark.parametrize("identities", [["a", "b", "c"], ["a", "a", "a"]])
def test_people_who_make_no_pairs_get_a_sentence(rim, tmp_path, identities):
    with pytest.raises(ValueError, match="noise must show at least two people, one of them in two or more images"):
        calibrate(rim, faces_of(tmp_path, identities), "noise", "0123", sizes=(8,))


def test_faces_without_people_get_a_sentence(rim, tmp_path):
    with pytest.raises(ValueError, match="no face of noise has an identity"):
        calibrate(rim, faces_of(tmp_path, [None, None]), "noise", "0123", sizes=(8,))


def test_a_card_whose_intervals_end_at_nothing_states_what_its_people_carry():
    """No pair of 126 people was missed: others may be at a rate at which none of 126 is, in 2.5 % of the cases."""
    points = np.zeros((1, 1, 2, 1))
    intervals = np.array([[0.0, 0.02, 0.0, 0.0], [0.0, 0.02, 0.1, 0.2]]).reshape(1, 1, 2, 1, 4)
    ratios = np.broadcast_to([-1.0, 4.0, np.log10(126), 0.5, 0.4], (1, 1, 2, 5))
    card = Calibration(
        *("made up", "", 404, 9, 9, (1,), (8, 32), (1e-1,), points, points), intervals=intervals, ratios=ratios
    )
    point = card.operating_point(8, 0.1)
    assert point.frr == 0
    low, high = point.frr_interval
    assert (low, (1 - high) ** 126) == (0, pytest.approx(0.025))
    assert card.operating_point(32, 0.1).frr_interval == (pytest.approx(0.1), pytest.approx(0.2))
    assert point.far_interval == (0, pytest.approx(0.02))
