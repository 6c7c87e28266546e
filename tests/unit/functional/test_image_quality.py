import math

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from rim_lightning.functional.image_quality import luma, psnr, ssim


def images(batch=2, channels=3, height=24, width=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(batch, channels, height, width, generator=generator, dtype=torch.float64) * 255
    b = (a + 30 * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 255)
    return a.to(dtype), b.to(dtype)


def ssim_by_loop(a, b, data_range):
    """Wang et al. 2004, Eq 13, window by window, of one channel (H, W)."""
    window = [[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)]
    window = torch.tensor(window, dtype=torch.float64)
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            p, q = (image[top : top + 11, left : left + 11] for image in (a, b))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            cov = (window * (p - mean_p) * (q - mean_q)).sum()
            values.append(
                (2 * mean_p * mean_q + c1) * (2 * cov + c2) / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
            )
    return torch.stack(values).mean()


def test_luma_of_the_corners_of_the_cube():
    colors = torch.tensor([[-1, -1, -1], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]]).float()
    y = luma(colors[:, :, None, None]).flatten()
    assert y.tolist() == pytest.approx([16, 235, 81.481, 144.553, 40.966, 125.5], abs=1e-4)


def test_psnr_by_hand():
    a = torch.zeros(2, 1, 4, 4)
    b = a.clone()
    b[0] += 5  # MSE 25
    b[1, 0, 0, 0] = 8  # MSE 64 / 16 = 4, in the corner only
    assert psnr(a, b, 255.0).tolist() == pytest.approx([10 * math.log10(255**2 / 25), 10 * math.log10(255**2 / 4)])
    assert psnr(a, b, 255.0, crop=1)[1] == math.inf


def test_psnr_equals_torchmetrics_image_by_image():
    a, b = images()
    expected = [peak_signal_noise_ratio(p[None], q[None], data_range=255.0).item() for p, q in zip(a, b, strict=True)]
    assert psnr(a, b, 255.0).tolist() == pytest.approx(expected, rel=1e-6)


def test_ssim_equals_the_loop_over_windows_and_torchmetrics():
    a, b = images()
    ours = ssim(a, b, 255.0)
    for n in range(2):
        channels = [ssim_by_loop(a[n, c], b[n, c], 255.0) for c in range(3)]
        assert ours[n].item() == pytest.approx(torch.stack(channels).mean().item(), abs=1e-10)
    # torchmetrics continues the images by reflection; five pixels further inside it sees whole windows only.
    _, full = structural_similarity_index_measure(a, b, data_range=255.0, reduction="none", return_full_image=True)
    assert ours.tolist() == pytest.approx(full[..., 5:-5, 5:-5].mean((1, 2, 3)).tolist(), abs=1e-9)


def test_ssim_in_fp32_and_under_autocast():
    a, b = images()
    expected = ssim(a, b, 255.0).tolist()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ssim(a.float(), b.float(), 255.0).tolist() == pytest.approx(expected, abs=1e-4)


def test_ssim_of_equal_images_is_one_and_does_not_depend_on_the_scale():
    a, b = images()
    assert ssim(a, a, 255.0).tolist() == pytest.approx([1, 1])
    scaled = ssim(a / 127.5, b / 127.5, 2.0)
    assert scaled.tolist() == pytest.approx(ssim(a, b, 255.0).tolist())


def test_crop_equals_cropping_first():
    a, b = images()
    inside = (..., slice(3, -3), slice(3, -3))
    assert torch.equal(psnr(a, b, 255.0, crop=3), psnr(a[inside], b[inside], 255.0))
    assert torch.equal(ssim(a, b, 255.0, crop=3), ssim(a[inside], b[inside], 255.0))


def test_images_that_cannot_be_compared_are_refused():
    a, b = images()
    with pytest.raises(ValueError, match="one shape"):
        psnr(a, b[..., 1:], 255.0)
    with pytest.raises(ValueError, match="10 x 6"):
        ssim(a, b, 255.0, crop=7)
