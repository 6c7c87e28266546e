import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.functional.resize import (
    area_reduce,
    before_enlargement,
    enlarge,
    on_own_grid,
    reduce,
    resized,
    round_to_8bit,
)
from tests.helpers.pictures import levels, noise_image, to_tensor


@pytest.mark.parametrize("size", [5, 16, 28])
def test_reduction_and_enlargement_equal_pillow_within_one_level(size):
    image = noise_image(112)
    small = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    large = np.asarray(Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC))
    for ours, pillow in [(reduce(to_tensor(image), size), small), (enlarge(to_tensor(small), 112), large)]:
        difference = (levels(ours)[0].permute(1, 2, 0).numpy() - pillow.astype(int)).__abs__()
        assert difference.max() <= 1
        assert difference.mean() < 0.005


@pytest.mark.parametrize("size", [16, 28, 7, 13, 33])
def test_area_reduction_equals_opencv_within_one_level(size):
    image = noise_image(112)
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(int)
    difference = abs(levels(area_reduce(to_tensor(image), size))[0].permute(1, 2, 0).numpy() - small)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_unquantized_reduction_is_within_rounding_and_has_a_gradient():
    image = to_tensor(noise_image(64)).requires_grad_()
    real = reduce(image, 16, quantize=False)
    small = np.asarray(Image.fromarray(noise_image(64)).resize((16, 16), Image.Resampling.BICUBIC)).astype(float)
    inside = real.detach().clamp(-1, 1)[0].permute(1, 2, 0).numpy()
    assert np.abs((inside + 1) * 127.5 - small).mean() < 1
    real.sum().backward()
    assert image.grad.sum().item() == pytest.approx(3 * 16 * 16, rel=1e-4)  # the weights of a pixel sum to 1


def test_rounding_to_8_bit():
    image = torch.tensor([-1.3, -1.0, 0.0, 1 / 127.5 - 1 + 0.003, 1.0, 2.0])
    assert levels(round_to_8bit(image)).tolist() == [0, 0, 128, 1, 255, 255]
    assert torch.equal(round_to_8bit(round_to_8bit(image)), round_to_8bit(image))


def test_faces_of_another_size_are_resized_with_gradient_and_others_are_returned_as_they_are():
    faces = to_tensor(noise_image(32)).double()
    assert resized(faces, 32) is faces
    assert torch.equal(resized(faces.float(), 8), reduce(faces, 8, quantize=False))
    assert resized(faces, 8).dtype == torch.float64
    assert resized(faces.bfloat16(), 8).dtype == torch.float32
    small = faces[..., :6, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resized(x, 3), small)


@pytest.mark.parametrize("size", [7, 16, 33, 64])
def test_the_pixels_before_an_enlargement_come_back(size):
    whole = torch.randint(64, 192, (2, 3, size, size), generator=torch.Generator().manual_seed(size))
    pixels = whole / 127.5 - 1  # far from black and white, beyond which an enlargement would be cut off
    back = before_enlargement(enlarge(pixels, 64), size)
    assert (back - pixels).abs().max() * 127.5 < 2.5
    again = reduce(enlarge(pixels, 64), size)
    if size < 33:
        assert (again - pixels).abs().max() > 10 * (back - pixels).abs().max()  # which is why


def test_each_face_of_a_batch_comes_on_its_own_grid():
    """As one by one, but for pixels that lie halfway between two levels."""
    faces = round_to_8bit(2 * torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1)
    sizes = torch.tensor([1.0, 7.4, 16.0, 33.0, 63.6, 200.0])
    grids = [1, 7, 16, 33, 64, 64]
    expected = torch.cat([enlarge(reduce(face[None], grid), 64) for face, grid in zip(faces, grids, strict=True)])
    found = on_own_grid(faces, sizes)
    difference = (found - expected).abs() * 127.5
    assert difference.max() < 1.01
    assert (difference > 0.01).double().mean() < 1e-3
    assert torch.equal(found[4:], faces[4:])
