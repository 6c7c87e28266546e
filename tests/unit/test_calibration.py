"""Thresholds against hand values, and against the definition on faces."""

import json
import math

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.calibration import Calibration, Operating, calibrate
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional.degradation import synthesise_probe
from rim_lightning.networks.rim import RIM
from rim_lightning.types import to_unit
from tests.stores import noise_store
from tests.tiny import MODEL, perturbed

FARS = (0.1, 0.01)
BY_HAND = Calibration(
    "made up",
    "0123",
    4,
    20,
    200,
    (8, 16, 32),
    FARS,
    (
        (Operating(0.5, 0.1, 0.4), None),
        (Operating(0.3, 0.1, 0.2), Operating(0.6, 0.01, 0.5)),
        (Operating(0.2, 0.1, 0.1), Operating(0.4, 0.01, 0.3)),
    ),
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
    point = BY_HAND.at(size, 0.1)
    assert (point.threshold, point.far, point.frr) == pytest.approx((threshold, 0.1, frr))


@pytest.mark.parametrize("far", [0.01, 1e-5])
def test_a_far_without_thresholds_gets_a_sentence(far):
    with pytest.raises(ValueError, match=f"no thresholds for a FAR of {far:g}: choose from 0.1."):
        BY_HAND.at(16, far)


def test_a_calibration_survives_a_json_file():
    assert Calibration.from_plain(json.loads(json.dumps(BY_HAND.to_plain()))) == BY_HAND


@pytest.fixture
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


def faces_of(folder, identities):
    names = [f"{index}.png" for index in range(len(identities))]
    return FaceDataset(noise_store(folder, names, identities, {"ibug68": 68}, hr_size=32), "train")


def test_thresholds_are_those_of_all_pairs_of_two_images(rim, tmp_path):
    faces = faces_of(tmp_path, [*"aabbccddeeff", None])
    found = calibrate(rim, faces, "noise", "0123", sizes=(8, 20, 64), fars=FARS, batch_size=5)
    assert (found.people, found.genuine, found.impostors) == (6, 12, 120)
    assert found.sizes == (8, 20)  # the model's faces have 32 px
    sharp = torch.stack([to_unit(faces[index].hr) for index in range(12)])
    for size, row in zip(found.sizes, found.points, strict=True):
        with torch.no_grad():
            gallery = F.normalize(rim.embed_gallery(sharp))
            probe = F.normalize(rim.embed_probe(synthesise_probe(sharp, torch.full((12,), size))))
        scores = gallery @ probe.T
        person = torch.arange(12) // 2
        genuine = [scores[i, j] for i in range(12) for j in range(12) if i != j and person[i] == person[j]]
        impostor = [scores[i, j] for i in range(12) for j in range(12) if person[i] != person[j]]
        point, unmeasured = row
        assert unmeasured is None  # 120 impostor pairs say nothing about 1 in 100
        accepted = sum(score >= point.threshold for score in impostor)
        assert accepted <= 12 and sum(score >= point.threshold - 1e-4 for score in impostor) > accepted
        refused = sum(score < point.threshold for score in genuine)
        assert point.frr == pytest.approx(float(refused) / 12, abs=1e-6)


@pytest.mark.parametrize("identities", [["a", "b", "c"], ["a", "a", "a"]])
def test_people_who_make_no_pairs_get_a_sentence(rim, tmp_path, identities):
    with pytest.raises(ValueError, match="noise has no two images of one person, or only one person"):
        calibrate(rim, faces_of(tmp_path, identities), "noise", "0123", sizes=(8,))


def test_faces_without_people_get_a_sentence(rim, tmp_path):
    with pytest.raises(ValueError, match="no face of noise has an identity"):
        calibrate(rim, faces_of(tmp_path, [None, None]), "noise", "0123", sizes=(8,))
