"""ESRGAN: published size, dense blocks recomputed, discriminator."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.compared.esrgan import ESRGAN, RRDB, DenseBlock, Discriminator
from tests.helpers.super_resolution import count_parameters, probe

PUBLISHED_RRDB_X4 = 16_697_987  # parameters of the authors' network of 23 blocks and a factor of 4


def test_esrgan_has_the_published_number_of_parameters():
    assert count_parameters(ESRGAN, factor=4) == PUBLISHED_RRDB_X4
    assert count_parameters(ESRGAN) == PUBLISHED_RRDB_X4 + 9 * 64 * 64 + 64


def test_the_whole_of_esrgan_starts_near_the_range_of_a_face():
    torch.manual_seed(0)
    with torch.no_grad():
        assert ESRGAN()(probe(32, batch=1)).abs().max() < 2


def test_a_dense_block_reads_all_that_came_before():
    torch.manual_seed(0)
    block = DenseBlock(4, 2).double()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    features = [x]
    for layer in block.grow:
        y = F.conv2d(torch.cat(features, 1), layer.weight, layer.bias, padding=1)
        features.append(torch.where(y > 0, y, 0.2 * y))
    last = F.conv2d(torch.cat(features, 1), block.last.weight, block.last.bias, padding=1)
    torch.testing.assert_close(block(x), x + 0.2 * last, rtol=1e-12, atol=1e-14)


def test_residual_scaling_of_an_rrdb_by_hand():
    block = RRDB(4, 2).double()
    for dense in block.body:
        torch.nn.init.zeros_(dense.last.weight)
        torch.nn.init.ones_(dense.last.bias)
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(block(x), x + 0.2 * (x + 3 * 0.2))


def test_dense_blocks_start_at_a_tenth_of_he():
    torch.manual_seed(0)
    layer = DenseBlock(64, 32).last
    he = (2 / (1 + 0.25**2) / (9 * layer.in_channels)) ** 0.5
    assert layer.weight.std().item() == pytest.approx(0.1 * he, rel=0.02)


def test_the_discriminator_has_the_layers_of_the_authors():
    widths = (64, 128, 256, 512, 512)
    widening = sum(9 * inputs * outputs for inputs, outputs in zip((3, *widths), widths, strict=False))
    halving = sum(16 * width**2 for width in widths)
    norms = 2 * 64 + sum(4 * width for width in widths[1:])
    linear = 512 * 4 * 4 * 100 + 100 + 100 + 1
    assert count_parameters(Discriminator) == widening + 64 + halving + norms + linear
    layers = list(Discriminator(width=2, input_size=64).features)
    assert [type(layer).__name__ for layer in layers[:3]] == ["Conv2d", "LeakyReLU", "Conv2d"]  # no norm at the first
    strides = [layer.stride[0] for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert strides == [1, 2] * 4


@pytest.mark.parametrize("size", [64, 128])
def test_the_discriminator_judges_each_face_and_all_of_it_learns(size):
    torch.manual_seed(0)
    network = Discriminator(width=2, input_size=size)
    faces = probe(size, batch=4).requires_grad_()
    logits = network(faces)
    assert logits.shape == (4,)
    *parameter_gradients, _ = torch.autograd.grad(logits.square().sum(), [*network.parameters(), faces])
    assert all(parameter_gradient.abs().max() > 0 for parameter_gradient in parameter_gradients)
    network.eval()
    (gradient,) = torch.autograd.grad(network(faces)[0], faces)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_the_discriminator_refuses_other_sizes():
    with pytest.raises(ValueError, match="got 96"):
        Discriminator(width=2, input_size=96)
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32\), got \(2, 3, 64, 64\)"):
        Discriminator(width=2, input_size=32)(probe(64))
