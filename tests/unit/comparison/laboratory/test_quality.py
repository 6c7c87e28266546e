"""Quality of hallucinated faces: the same figures as the evaluation has, and what a network without priors lacks."""

import math

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.comparison.laboratory.compute_once import compute_once
from rim_lightning.comparison.laboratory.quality import measure_quality
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.evaluation.hallucination import evaluate_hallucination
from rim_lightning.evaluation.protocols import face_set
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import BACKBONE, MODEL, perturbed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=3, hr_size=32)


def test_figures_are_those_of_the_evaluation(store):
    torch.manual_seed(0)
    rim, teacher = perturbed(RIM(**MODEL)).eval(), build_guided_recognizer(BACKBONE).eval()
    faces = face_set(str(store.path), "faces", "train")
    images = FaceDataset(store, "train")
    hr = to_unit(torch.stack([images[number].hr for number in range(len(images))]))
    with torch.no_grad():
        sharp = teacher.embed_gallery(hr)
    quality = measure_quality(rim, faces, rim.lr_size, teacher, sharp, "faces")
    figures, panel = evaluate_hallucination(rim, faces, "y", 0, 32, len(hr))
    assert sum(quality["psnr"]) / len(hr) == pytest.approx(figures["psnr_y"], rel=1e-5)
    assert sum(quality["ssim"]) / len(hr) == pytest.approx(figures["ssim_y"], rel=1e-5)
    assert quality["nme"] == pytest.approx(figures["nme/ibug68"], rel=1e-5)
    assert quality["miou"] == pytest.approx(figures["miou"], rel=1e-5)
    with torch.no_grad():
        cosine = F.cosine_similarity(teacher.embed_gallery(panel.sr.clamp(-1, 1)), sharp, dim=1)
    torch.testing.assert_close(torch.tensor(quality["identity"]), cosine, rtol=1e-4, atol=1e-5)

    bicubic = measure_quality(build_super_resolver("bicubic"), faces, rim.lr_size, teacher, sharp, "faces")
    assert sum(bicubic["psnr"]) / len(hr) == pytest.approx(figures["bicubic/psnr_y"], rel=1e-5)
    assert math.isnan(bicubic["nme"])
    assert math.isnan(bicubic["miou"])


def test_a_figure_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"psnr": [24.5, float("nan")]}

    first, again = (compute_once(tmp_path / "quality", ["digest", 8], compute) for _ in range(2))
    assert first["psnr"][0] == again["psnr"][0] == 24.5
    assert math.isnan(again["psnr"][1])
    compute_once(tmp_path / "quality", ["digest", 16], compute)
    assert len(calls) == 2
