import pytest
import torch
import torch.nn.functional as F
from torchvision.io import decode_jpeg, encode_jpeg

from rim_lightning.functional.compression import codec_like, jpeg_like
from rim_lightning.functional.resize import round_to_8bit
from tests.helpers.pictures import levels


def pictures(batch=8, size=16):
    """Smooth pictures with some noise, as small faces are."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator) * 2 - 1
    smooth = F.interpolate(coarse, (size, size), mode="bilinear")
    return round_to_8bit(0.9 * smooth + 0.05 * torch.randn(batch, 3, size, size, generator=generator))


@pytest.mark.parametrize("size", [7, 8, 16, 23, 24, 32])
def test_jpeg_is_that_of_libjpeg_within_two_levels(size):
    images = pictures(40, size)
    quality = torch.tensor([30, 45, 50, 60, 75, 80, 85, 90]).repeat(5)
    files = [encode_jpeg(levels(image).byte(), quality=int(q)) for image, q in zip(images, quality, strict=True)]
    expected = torch.stack([decode_jpeg(file) for file in files]).float()
    error, lost = ((levels(kept) - expected).abs().mean() for kept in (jpeg_like(images, quality), images))
    assert error < 1.6  # a coefficient between two steps may be rounded the other way
    assert lost > 5


def test_a_picture_is_compressed_alike_alone_and_in_the_corner_of_a_larger_one():
    images, sizes = pictures(4, 24), torch.tensor([24, 9, 16, 7])
    quality, step = torch.tensor([30, 60, 90, 50]), torch.tensor([20.0, 9.0, 40.0, 15.0])
    offset = torch.tensor([[0, 3], [7, 1], [5, 5], [2, 0]])
    by_jpeg = jpeg_like(images, quality, sizes)
    by_codec = codec_like(images, 8, step, offset, sizes)
    for row, size in enumerate(sizes.tolist()):
        alone = images[row : row + 1, :, :size, :size]
        part = by_jpeg[row : row + 1, :, :size, :size]
        assert (levels(jpeg_like(alone, quality[row : row + 1])) - levels(part)).abs().max() <= 2  # ties of rounding
        part = by_codec[row : row + 1, :, :size, :size]
        own = codec_like(alone, 8, step[row : row + 1], offset[row : row + 1])
        assert (levels(own) - levels(part)).abs().max() <= 2


def test_a_coarse_step_leaves_the_mean_of_each_block_at_the_offset():
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(-8, 9, (5, 5), generator=generator)
    frame = (128 + 7.5 * steps).repeat_interleave(8, 0).repeat_interleave(8, 1)  # 7.5 levels are a step of 60 of a mean
    means = frame[3:35, 6:38].expand(1, 3, -1, -1)
    noisy = means + torch.randn(1, 1, 32, 32, generator=generator)
    ours = codec_like(noisy / 127.5 - 1, 8, torch.tensor([60.0]), torch.tensor([[3, 6]]))
    whole = slice(5, 29), slice(2, 26)  # blocks at the border of the picture repeat its noise
    assert ((ours + 1) * 127.5 - means)[..., *whole].abs().max() <= 0.6


def test_a_fine_step_leaves_gray_pictures_as_they_are():
    gray = round_to_8bit(pictures(2).mean(1, keepdim=True)).expand(-1, 3, -1, -1)
    for block in (8, 16):
        kept = codec_like(gray, block, torch.full((2,), 0.01), torch.tensor([[0, 0], [5, 3]]))
        assert (levels(kept) - levels(gray)).abs().max() <= 1
    assert (levels(jpeg_like(gray, torch.tensor([100, 100]))) - levels(gray)).abs().max() <= 2
