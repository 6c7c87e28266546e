"""Figures of hallucinated faces against hand arithmetic, for every user of the one loop."""

import pytest
import torch

from rim_lightning.data.dataset import FaceDataset, collate
from rim_lightning.evaluation.hallucination import (
    HallucinationMetrics,
    evaluate_hallucination,
    hallucinate,
    hallucinate_batch,
    hallucinated_batches,
)
from rim_lightning.evaluation.protocols import face_set
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.rim import RIM
from rim_lightning.types import UNLABELED, to_unit
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=3, hr_size=32)


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


def batch_of(store, split="train"):
    faces = FaceDataset(store, split)
    batch = collate([faces[number] for number in range(len(faces))])
    return batch._replace(hr=to_unit(batch.hr))


def luma_psnr(image, target):
    """Each image's PSNR of BT.601 luma on the 8-bit grid, in float64."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64).view(1, 3, 1, 1) / 255
    pixels = [((side.double().clamp(-1, 1) + 1) * 127.5).round() for side in (image, target)]
    luma = [(weights * side).sum(1) for side in pixels]
    return 10 * torch.log10(255**2 / (luma[0] - luma[1]).square().mean((1, 2)))


def test_figures_of_a_set_by_hand(store, rim):
    figures, panel = evaluate_hallucination(rim, face_set(str(store.path), "faces", "train"), "y", 0, 4, 3)
    batch = batch_of(store)
    with torch.no_grad():
        probes = synthesize_probe(batch.hr, torch.full((len(batch.hr),), rim.lr_size))
        output = rim.fhn(probes, hr=batch.hr)
    psnr = {name: luma_psnr(image, batch.hr) for name, image in (("sr", output.sr), ("bicubic", probes))}
    assert figures["faces"] == len(batch.hr) == 12
    assert figures["psnr_y"] == pytest.approx(psnr["sr"].mean().item(), abs=2e-3)
    assert figures["bicubic/psnr_y"] == pytest.approx(psnr["bicubic"].mean().item(), abs=2e-3)
    gain = (psnr["sr"] - psnr["bicubic"]).mean().item()
    assert figures["psnr_gain_y"] == pytest.approx(gain, abs=2e-3)
    assert figures["psnr_gain_y_low"] < gain < figures["psnr_gain_y_high"]
    for name, priors in (("nme/ibug68", output.priors), ("nme_hr/ibug68", output.hr_priors)):
        truth = batch.landmarks["ibug68"]
        distance = (decode_heatmaps(priors.heatmaps["ibug68"], 32) - truth).norm(dim=-1).mean(1)
        eyes = (truth[:, 36] - truth[:, 45]).norm(dim=-1)
        assert figures[name] == pytest.approx(100 * (distance / eyes).mean().item(), rel=1e-4)
    # Faces 0, 5.5 (rounded to the even 6) and 11 of the twelve, on the CPU.
    assert panel.hr.shape == (3, 3, 32, 32)
    torch.testing.assert_close(panel.sr, output.sr[[0, 6, 11]])
    torch.testing.assert_close(panel.psnr_sr.double(), psnr["sr"][[0, 6, 11]], atol=2e-3, rtol=0)
    assert panel.lr.shape == (3, 3, rim.lr_size, rim.lr_size)
    torch.testing.assert_close(
        panel.landmarks["ibug68"], decode_heatmaps(output.priors.heatmaps["ibug68"], 32)[[0, 6, 11]]
    )
    assert (panel.parsing_true != UNLABELED).any()


def test_a_set_without_labels_has_no_iou(tmp_path, rim):
    noise = noise_store(tmp_path / "noise", ["a", "b"], [None, None], {"ibug68": 68}, split="test", hr_size=32)
    figures, panel = evaluate_hallucination(rim, face_set(str(noise.path), "noise"), "rgb", 2, 2, 1)
    assert not {"miou", "miou_hr"} & set(figures)
    assert {"psnr_rgb", "coarse/ssim_rgb", "nme/ibug68"} <= set(figures)
    assert (panel.parsing_true == UNLABELED).all()


def test_batches_do_not_change_the_figures(store, rim):
    faces = face_set(str(store.path), "faces", "train")
    whole, _ = evaluate_hallucination(rim, faces, "y", 0, 12, 1)
    parts, _ = evaluate_hallucination(rim, faces, "y", 0, 5, 1)
    assert whole == pytest.approx(parts, rel=1e-4)


def test_validation_gets_the_figures_of_the_evaluation(store, rim):
    """Updated as a validation step does it: batch by batch, some faces twice."""
    figures, _ = evaluate_hallucination(rim, face_set(str(store.path), "faces", "train"), "y", 0, 12, 1)
    metrics = HallucinationMetrics(("sr", "coarse", "bicubic"), ("ibug68",), ("probe",))
    batch = batch_of(store)
    with torch.no_grad():
        for _ in range(2):
            metrics.update(hallucinate_batch(rim, batch, rim.lr_size, sharp_priors=True))
    logged = metrics.compute()
    for name in ("psnr_y", "ssim_y", "nme/ibug68", "miou"):
        assert logged[name if name in logged else f"sr/{name}"].item() == figures[name], name
    assert logged["coarse/psnr_y"].item() == figures["coarse/psnr_y"]
    assert not metrics.state_dict()
    metrics.reset()
    assert not any(metric.update_called for metric in metrics.metrics)


def test_a_network_without_priors_is_measured_by_its_faces(store, rim):
    network = build_super_resolver("bicubic")
    metrics = HallucinationMetrics(("sr", "bicubic"), (), ())
    faces = face_set(str(store.path), "faces", "train")
    for batch in hallucinated_batches(network, faces, 8, 5, torch.device("cpu"), "faces", sharp_priors=False):
        assert not batch.priors
        metrics.update(batch)
    figures = metrics.compute()
    assert set(figures) == {"sr/psnr_y", "sr/ssim_y", "bicubic/psnr_y", "bicubic/ssim_y"}
    assert figures["sr/psnr_y"] == figures["bicubic/psnr_y"]
    probes = synthesize_probe(batch_of(store).hr, torch.full((12,), 8))
    assert figures["sr/psnr_y"].item() == pytest.approx(luma_psnr(probes, batch_of(store).hr).mean().item(), abs=2e-3)
    with torch.no_grad():
        assert torch.equal(hallucinate(network, probes), probes)
        assert torch.equal(hallucinate(rim, probes), rim.fhn(probes).sr)
