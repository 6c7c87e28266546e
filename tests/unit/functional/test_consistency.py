"""A corrected face is its probe again: against the reduction itself, for every size that training has."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.functional.consistency import consistency_residual, consistent_faces, recovered_probes
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.resize import reduce

SIZES = torch.arange(7, 33)


def faces(hr_size, count=26):
    """Smooth faces with some noise, neither black nor white."""
    generator = torch.Generator().manual_seed(0)
    small = 1.6 * torch.rand(count, 3, 9, 9, generator=generator) - 0.8
    return F.interpolate(small, (hr_size, hr_size), mode="bicubic").clamp(-0.9, 0.9)


def difference(images, probes):
    """Largest difference in gray levels of images, reduced, from their probes."""
    reduced = [reduce(image[None], probe.shape[-1])[0] for image, probe in zip(images, probes, strict=True)]
    return max(int((to_levels(a).int() - to_levels(b).int()).abs().max()) for a, b in zip(reduced, probes, strict=True))


@pytest.mark.parametrize("hr_size", [64, 128])
def test_a_corrected_face_reduced_again_is_the_probe_within_a_level(hr_size):
    hr = faces(hr_size)
    probes = [reduce(face[None], int(size))[0] for face, size in zip(hr, SIZES, strict=True)]
    enlarged = synthesize_probe(hr, SIZES)
    recovered = recovered_probes(enlarged, SIZES)
    assert all((a - b).abs().max() * 127.5 < 1.01 for a, b in zip(recovered, probes, strict=True))
    sr = enlarged + 0.15 * torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))
    corrected = consistent_faces(sr, enlarged, SIZES)
    assert corrected.abs().max() <= 1
    assert difference(sr, probes) > 5
    assert difference(corrected, probes) <= 1
    saved = to_levels(corrected) / 127.5 - 1  # its rounding adds up where the probe has half as many pixels
    assert difference(saved, probes) <= (1 if hr_size == 128 else 2)


def test_the_correction_is_the_smallest_and_no_face_depends_on_another():
    """In float64: D x = p exactly where nothing is clipped, and the change lies in the span of the rows of D."""
    hr, sizes = 0.5 * faces(64, 3).double(), torch.tensor([8, 12, 16])
    enlarged = synthesize_probe(hr, sizes)
    sr = enlarged + 0.05 * torch.randn(hr.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    corrected = consistent_faces(sr, enlarged, sizes)
    for row, size in enumerate(sizes.tolist()):
        (probe,) = recovered_probes(enlarged[row : row + 1], sizes[row : row + 1])
        down = F.interpolate(torch.eye(64, dtype=torch.float64)[None, None], (size, 64), mode="bicubic", antialias=True)
        down = down[0, 0]  # (size, 64): each row reduces a column of the face
        torch.testing.assert_close(down @ corrected[row] @ down.T, probe, atol=1e-9, rtol=0)
        basis = torch.linalg.qr(down.T).Q
        change = corrected[row] - sr[row]
        torch.testing.assert_close(basis @ basis.T @ change @ basis @ basis.T, change, atol=1e-9, rtol=0)
        alone = consistent_faces(sr[row : row + 1], enlarged[row : row + 1], sizes[row : row + 1])
        torch.testing.assert_close(alone[0], corrected[row], atol=1e-12, rtol=0)


def test_a_probe_of_the_full_size_is_the_face_itself_and_gradient_passes():
    hr = to_levels(faces(32, 2)) / 127.5 - 1
    sr = torch.zeros_like(hr, requires_grad=True)
    corrected = consistent_faces(sr, hr, torch.tensor([40.0, 7.6]))
    torch.testing.assert_close(corrected[0], hr[0], atol=1e-3, rtol=0)
    corrected[1].square().sum().backward()
    assert not sr.grad[0].any()
    assert sr.grad[1].abs().max() > 0
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(consistent_faces(sr, hr, torch.tensor([40.0, 7.6])), corrected)


def test_the_residual_is_that_of_the_reduction():
    hr, sizes = faces(64, 3), torch.tensor([8, 13, 20])
    enlarged = synthesize_probe(hr, sizes)
    sr = (hr + 0.1 * torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    probes = recovered_probes(enlarged, sizes)
    expected = [
        (reduce(face[None], int(size), quantize=False)[0] - probe).square().mean().sqrt()
        for face, size, probe in zip(sr, sizes, probes, strict=True)
    ]
    residual = consistency_residual(sr, enlarged, sizes)
    torch.testing.assert_close(residual, torch.stack(expected), rtol=0.02, atol=1e-4)
    assert residual.min() > 0.005
    assert consistency_residual(consistent_faces(sr, enlarged, sizes), enlarged, sizes).max() < 0.003
