import math

import pytest
import torch

from rim_lightning.functional.image_quality import luma, psnr, ssim
from rim_lightning.metrics.image_quality import ImageQuality


def images(count=5, size=20):
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (count, 3, size, size), generator=generator).float()
    other = (levels + torch.randint(-20, 21, levels.shape, generator=generator)).clamp(0, 255)
    return levels / 127.5 - 1, other / 127.5 - 1


def test_repeated_images_count_once_and_batches_do_not_matter():
    a, b = images()
    metric = ImageQuality("rgb")
    metric.update(a[:3], b[:3], torch.tensor([0, 1, 2]))
    metric.update(a[[3, 4, 0]], b[[3, 4, 0]], torch.tensor([3, 4, 0]))
    figures = metric.compute()
    assert figures["psnr"].item() == pytest.approx(psnr(a, b, 2.0).mean().item(), rel=1e-6)
    assert figures["ssim"].item() == pytest.approx(ssim(a, b, 2.0).mean().item(), rel=1e-6)


def test_protocol_y_measures_luma_of_8_bit_images():
    a, b = images()
    metric = ImageQuality("y", crop=2)
    # Off the 8-bit grid by less than half a level, and beyond the range where saturated.
    off = torch.where(a >= 1, a + 0.5, torch.where(a <= -1, a - 0.5, a + 0.003))
    metric.update(off, b, torch.arange(5))
    figures = metric.compute()
    y, other = luma(a), luma(b)
    assert figures["psnr"].item() == pytest.approx(psnr(y, other, 255.0, crop=2).mean().item(), rel=1e-5)
    assert figures["ssim"].item() == pytest.approx(ssim(y, other, 255.0, crop=2).mean().item(), rel=1e-5)


def test_per_image_figures_come_in_the_order_of_the_index():
    a, b = images()
    metric = ImageQuality("rgb")
    order = torch.tensor([4, 0, 3, 1, 2])
    metric.update(a[order], b[order], order)
    figures = metric.per_image()
    assert figures["index"].tolist() == [0, 1, 2, 3, 4]
    assert torch.allclose(figures["psnr"], psnr(a, b, 2.0))
    assert torch.allclose(figures["ssim"], ssim(a, b, 2.0))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_image_gives_nan_and_bad_settings_are_refused():
    assert all(math.isnan(value) for value in ImageQuality("y").compute().values())
    with pytest.raises(ValueError, match="'lab'"):
        ImageQuality("lab")
    with pytest.raises(ValueError, match="-1"):
        ImageQuality("y", crop=-1)
