import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.functional.degradation import gaussian_blur, realistic_reduce, sample_probe_sizes, synthesize_probe
from rim_lightning.functional.resize import reduce, round_to_8bit
from rim_lightning.types import to_unit
from tests.helpers.pictures import levels, noise_image, to_tensor


def smooth_faces(batch=4, size=64):
    coarse = torch.rand(batch, 3, 6, 6, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return F.interpolate(coarse, (size, size), mode="bilinear")


def test_each_probe_gets_its_own_size():
    hr = to_unit(torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8))
    sizes = torch.tensor([4, 8, 4, 16, 8])
    probe = synthesize_probe(hr, sizes)
    for face, size, ours in zip(hr, sizes.tolist(), probe, strict=True):
        pillow = Image.fromarray(levels(face).byte().permute(1, 2, 0).numpy())
        pillow = pillow.resize((size, size), Image.Resampling.BICUBIC).resize((32, 32), Image.Resampling.BICUBIC)
        # A level of difference in the small face may grow in the large one.
        assert np.abs(levels(ours).permute(1, 2, 0).numpy() - np.asarray(pillow).astype(int)).max() <= 3


def test_a_probe_as_large_as_the_face_is_the_face():
    hr = to_tensor(noise_image(24))
    assert torch.equal(levels(synthesize_probe(hr, torch.tensor([24]))), levels(hr))


def test_probe_with_another_reducer():
    hr = smooth_faces()
    sizes = torch.tensor([8, 4, 8, 8])
    probe = synthesize_probe(hr, sizes, reducer=lambda faces, size: torch.full((len(faces), 3, size, size), size / 16))
    assert levels(probe)[:, 0, 0, 0].tolist() == levels(sizes / 16).tolist()


def test_sampled_sizes_have_the_requested_range_and_share():
    sizes = sample_probe_sizes(20000, 7, 10, 28, 0.5, torch.Generator().manual_seed(0))
    assert sizes.dtype == torch.int64
    counts = {size: (sizes == size).double().mean().item() for size in sizes.unique().tolist()}
    assert counts.keys() == {7, 8, 9, 10, 28}
    assert counts[28] == pytest.approx(0.5, abs=0.02)
    for size in (7, 8, 9, 10):  # log-uniform: the logarithm's share of [size, size + 1) in [7, 11)
        assert counts[size] == pytest.approx(0.5 * math.log((size + 1) / size) / math.log(11 / 7), abs=0.01)
    assert sample_probe_sizes(50, 7, 32, 28, 1.0, torch.Generator()).unique().tolist() == [28]
    assert 28 not in sample_probe_sizes(500, 7, 10, 28, 0.0, torch.Generator()).tolist()


def test_blur_equals_a_spatial_convolution_with_the_rotated_gaussian():
    image = torch.rand(1, 2, 40, 40, generator=torch.Generator().manual_seed(0))
    long, short, angle = 3.0, 1.2, math.radians(30)
    ours = gaussian_blur(image, torch.tensor([[long, short]]), torch.tensor([angle]))
    axis = torch.arange(-12.0, 13.0)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-(along**2) / (2 * long**2) - across**2 / (2 * short**2))
    kernel = (kernel / kernel.sum()).expand(2, 1, -1, -1)
    expected = F.conv2d(F.pad(image, [12] * 4, mode="replicate"), kernel, groups=2)
    assert (ours - expected).abs().max() < 1e-3


def test_every_image_has_its_own_blur_and_constants_stay():
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    blurred = gaussian_blur(image, torch.tensor([[1e-3, 1e-3], [4.0, 4.0]]), torch.zeros(2))
    assert (blurred[0] - image[0]).abs().max() < 1e-3
    assert blurred[1].std() < 0.3 * image[1].std()
    flat = torch.full((1, 1, 16, 16), 0.7)
    assert (gaussian_blur(flat, torch.tensor([[2.0, 1.0]]), torch.zeros(1)) - flat).abs().max() < 1e-5


def test_realistic_reduction_without_blur_noise_and_loss_is_the_plain_one():
    hr = smooth_faces().mean(1, keepdim=True).expand(-1, 3, -1, -1)  # gray: JPEG halves the resolution of color
    options = {"blur": (0.0, 1e-3), "noise": (0.0, 0.0), "quality": (100, 100)}
    lr = realistic_reduce(hr, 16, torch.Generator().manual_seed(0), **options)
    assert (levels(lr) - levels(reduce(hr, 16))).abs().max() <= 2


def test_each_part_of_the_realistic_reduction_does_its_work():
    hr = smooth_faces()
    plain = {"blur": (0.0, 1e-3), "noise": (0.0, 0.0), "quality": (100, 100)}

    def draw(**changed):
        return realistic_reduce(hr, 32, torch.Generator().manual_seed(0), **(plain | changed))

    def gray(image):
        return (image * 127.5).mean(1)

    reference = gray(draw())
    # The mean of three independent channels has a third of the variance; JPEG at 100 removes chroma noise only.
    luma_noise = (gray(draw(noise=(6.0, 6.0))) - reference).std().item()
    assert luma_noise == pytest.approx(6 / math.sqrt(3), rel=0.25)
    edges = gray(draw(blur=(2.0, 2.0))).diff(dim=-1).abs().mean()
    assert edges < 0.9 * reference.diff(dim=-1).abs().mean()
    lossy, fine = (gray(draw(quality=(q, q))) - reference for q in (10, 90))
    assert lossy.abs().mean() > 2 * fine.abs().mean()


def test_realistic_reduction_repeats_with_the_seed_and_lies_on_the_8_bit_grid():
    hr = smooth_faces()
    first, again, other = (realistic_reduce(hr, 16, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first - round_to_8bit(first)).abs().max() < 1e-6


def test_bad_probe_sizes_are_refused():
    hr = smooth_faces(2)
    with pytest.raises(ValueError, match="One probe size per face"):
        synthesize_probe(hr, torch.tensor([8]))
    with pytest.raises(ValueError, match="0 pixels"):
        synthesize_probe(hr, torch.tensor([8, 0]))
    with pytest.raises(ValueError, match="square"):
        synthesize_probe(hr[..., :32], torch.tensor([8, 8]))
    with pytest.raises(ValueError, match="low <= high"):
        sample_probe_sizes(2, 9, 8, 28, 0.5, torch.Generator())
    with pytest.raises(ValueError, match=r"1.5"):
        sample_probe_sizes(2, 7, 8, 28, 1.5, torch.Generator())
