"""Figures of the laboratory against the direct computation."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.comparison.laboratory.all_pairs import RESAMPLES
from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER, Reading, Side
from rim_lightning.comparison.plan.plan import NotTrained
from rim_lightning.evaluation.protocols import face_set, first_image_as_gallery, sampled_pairs
from rim_lightning.functional.bootstrap import person_resampled_tar
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.likelihood_ratio import cllr, cllr_min, fit_bounded
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store

BACKBONE = {"width": 8, "blocks": (1, 1, 1), "embedding_size": 16, "input_size": 32, "normalization": "none"}


class NoPlan:
    systems: ClassVar[dict] = {}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=30, views=4, hr_size=32)


@pytest.fixture
def laboratory(tmp_path):
    torch.manual_seed(0)
    backbone = build_backbone("mobilefacenet", **BACKBONE)
    save_backbone(tmp_path / "teacher.pt", backbone, "mobilefacenet", BACKBONE)
    weights = {"weight_format": "rim_lightning", "path": str(tmp_path / "teacher.pt")}
    laboratory = Laboratory(NoPlan(), weights, 8, tmp_path / "results")
    laboratory.backbone = backbone.eval()
    return laboratory


def embedded(laboratory, faces, size):
    hr = to_unit(torch.stack([faces[i].hr for i in range(len(faces))]))
    images = hr if size is None else synthesize_probe(hr, torch.full((len(hr),), size))
    with torch.no_grad():
        return F.normalize(laboratory.backbone(images), dim=1)


def test_scores_of_every_side(laboratory, store):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=30)
    sharp, low = embedded(laboratory, pairs.faces, None), embedded(laboratory, pairs.faces, 8)
    cases = {
        Reading(TEACHER): (sharp, low),
        Reading(TEACHER, probe="gallery", sharp=True): (sharp, sharp),
        Reading(TEACHER, gallery="probe", low_gallery=True): (low, low),
    }
    for reading, (gallery, probe) in cases.items():
        expected = (gallery[pairs.gallery] * probe[pairs.probe]).sum(1)
        (result,) = laboratory.scores(reading, pairs, 8)
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_all_cross_pairs_leave_an_image_with_itself_out_and_are_kept(laboratory, store, monkeypatch):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=30)
    first, second = pairs.gallery.unique(), pairs.probe.unique()
    scores = embedded(laboratory, pairs.faces, None)[first] @ embedded(laboratory, pairs.faces, 8)[second].T
    itself = first[:, None] == second[None, :]
    assert itself.any()
    owners = (pairs.identity[first], pairs.identity[second])
    rate, resampled = person_resampled_tar(
        scores, *owners, 1e-1, torch.Generator().manual_seed(0), RESAMPLES, left_out=itself
    )
    result = laboratory.all_pairs_tar(Reading(TEACHER), pairs, 1e-1)
    assert result.figures.tolist() == pytest.approx([rate])
    torch.testing.assert_close(result.resampled, resampled[None])
    monkeypatch.setattr("rim_lightning.comparison.laboratory.all_pairs.person_resampled_tar", None)
    again = laboratory.all_pairs_tar(Reading(TEACHER), pairs, 1e-1)
    assert torch.equal(again.resampled, result.resampled)
    assert torch.equal(again.figures, result.figures)
    assert laboratory.all_pairs_tar(Reading(TEACHER), pairs._replace(identity=None), 1e-1) is None


def test_likelihood_ratios_of_other_people_cost_what_the_pairs_say(laboratory, store):
    calibration = sampled_pairs(str(store.path), "known", "train", pairs=30)
    pairs = sampled_pairs(str(store.path), "others", "val", pairs=10)
    known, others = (
        [embedded(laboratory, faces, size).double() for size in (None, 8)] for faces in (calibration.faces, pairs.faces)
    )
    scores = (known[0][calibration.gallery] * known[1][calibration.probe]).sum(1).numpy()
    ratio = fit_bounded(scores, calibration.same.numpy(), 24)
    first, second = pairs.gallery.unique(), pairs.probe.unique()
    compared = first[:, None] != second[None, :]
    scores = (others[0][first] @ others[1][second].T)[compared].numpy()
    same = (pairs.identity[first][:, None] == pairs.identity[second])[compared].numpy()
    result = laboratory.likelihood_ratios(Reading(TEACHER), pairs, calibration, 8)
    assert result.cost.figures.tolist() == pytest.approx([cllr(ratio.log10(scores), same)], abs=1e-4)
    assert result.cost.resampled.shape == (1, RESAMPLES)
    assert result.least == pytest.approx(cllr_min(scores, same), abs=1e-4)
    unknown = pairs._replace(identity=None)
    for sets in ((unknown, calibration), (pairs, calibration._replace(identity=None))):
        assert laboratory.likelihood_ratios(Reading(TEACHER), *sets, 8) is None


def test_all_cross_pairs_are_resampled_alike_for_every_seed(laboratory, store, monkeypatch):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=30)
    one = laboratory.all_pairs_tar(Reading(TEACHER), pairs, 1e-1)
    (teacher,) = laboratory.networks.seeds(TEACHER)
    torch.manual_seed(1)
    other = GuidedRecognizer(build_backbone("mobilefacenet", **BACKBONE)).eval()
    two = [teacher, teacher._replace(title="other", digest="other", load=lambda: other)]
    monkeypatch.setattr(laboratory.networks, "seeds", lambda name: two)
    result = laboratory.all_pairs_tar(Reading(TEACHER), pairs, 1e-1)
    assert result.figures.shape == (2,)
    assert result.resampled.shape == (2, RESAMPLES)
    assert torch.equal(result.resampled[0], one.resampled[0])
    assert result.figures[0] == one.figures[0]
    assert not torch.equal(result.resampled[1], result.resampled[0])


def test_searching_a_gallery(laboratory, store):
    people = first_image_as_gallery(str(store.path), "people", "train")
    gallery, probe = embedded(laboratory, people.faces, None), embedded(laboratory, people.faces, 8)
    expected = probe[people.probe] @ gallery[people.gallery].T
    torch.testing.assert_close(laboratory.search(Reading(TEACHER), people, 8), expected, rtol=1e-4, atol=1e-5)
    native = gallery[people.probe] @ gallery[people.gallery].T
    found = laboratory.search(Reading(TEACHER), people._replace(native=True), 8)
    torch.testing.assert_close(found, native, rtol=1e-4, atol=1e-5)


def test_quality_of_bicubic(laboratory, store):
    faces = face_set(str(store.path), "faces", "train")
    result = laboratory.quality(BICUBIC, faces)
    hr = to_unit(torch.stack([faces.dataset[i].hr for i in range(len(faces.dataset))]))
    probes = synthesize_probe(hr, torch.full((len(hr),), 8))
    metric = ImageQuality("y")
    metric.update(probes, hr, torch.arange(len(hr)))
    assert result.psnr.mean().item() == pytest.approx(metric.compute()["psnr"].item(), rel=1e-5)
    cosine = (embedded(laboratory, faces.dataset, None) * embedded(laboratory, faces.dataset, 8)).sum(1)
    torch.testing.assert_close(result.identity.float(), cosine, rtol=1e-4, atol=1e-5)
    assert result.nme != result.nme
    assert result.psnr.shape == (1, len(faces.dataset))


def test_another_teacher_is_another_judge(laboratory, store, tmp_path):
    faces = face_set(str(store.path), "faces", "train")
    before = laboratory.quality(BICUBIC, faces).identity
    torch.manual_seed(1)
    save_backbone(tmp_path / "teacher.pt", build_backbone("mobilefacenet", **BACKBONE), "mobilefacenet", BACKBONE)
    again = Laboratory(NoPlan(), laboratory.networks.teacher_weights, 8, tmp_path / "results")
    assert not torch.equal(again.quality(BICUBIC, faces).identity, before)


def test_a_system_that_nobody_knows_is_not_trained(laboratory):
    with pytest.raises(NotTrained, match="vdsr"):
        laboratory.networks.seeds("vdsr")
    assert Side(8) != Side(8, "area")
