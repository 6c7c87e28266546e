"""The hallucination networks that are compared, by name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.esrgan import RRDB, DenseBlock, Discriminator
from rim_lightning.networks.compared.lapsrn import LapSRN
from rim_lightning.networks.compared.srcnn import SRCNN
from rim_lightning.networks.compared.super_resolver import on_probe_grid
from rim_lightning.networks.compared.vdsr import VDSR
from rim_lightning.networks.hallucination.coarse import CoarseSR

COARSE = {"reduction": 8, "pool": 4, "widths": [4, 4, 4, 4], "blocks": [1, 0, 0, 0], "factors": [2, 2, 2]}
TINY = {
    "srcnn": {"widths": (4, 3)},
    "vdsr": {"depth": 3, "width": 4},
    "lapsrn": {"depth": 1, "width": 4},
    "esrgan": {"blocks": 1, "width": 4, "growth": 2},
    "coarse": {"network": COARSE},
    "bicubic": {},
}
PUBLISHED_RRDB_X4 = 16_697_987  # parameters of the authors' network of 23 blocks and a factor of 4


def probe(size, batch=2, dtype=torch.float32):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


def parameters(build, *arguments, **named):
    with torch.device("meta"):
        return sum(p.numel() for p in build(*arguments, **named).parameters())


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", TINY)
def test_every_network_keeps_the_contract(name, size):
    torch.manual_seed(0)
    network = build_super_resolver(name, **TINY[name])
    enlarged = probe(size).requires_grad_()
    levels = network.levels(enlarged)
    sides = [size // 4, size // 2, size] if name == "lapsrn" else [size]
    assert [tuple(face.shape) for face in levels] == [(2, 3, side, side) for side in sides]
    face = network(enlarged)
    assert torch.equal(face, levels[-1])
    # No sample sees another, and the last level alone reaches every parameter.
    gradient, *of_parameters = torch.autograd.grad(face[0].square().sum(), [enlarged, *network.parameters()])
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0
    for (parameter, _), its in zip(network.named_parameters(), of_parameters, strict=True):
        assert its.abs().max() > 0, parameter


def test_the_probe_grid_is_that_of_pillow():
    enlarged = probe(32, batch=1)
    planes = [Image.fromarray(plane.numpy()).resize((4, 4), Image.Resampling.BICUBIC) for plane in enlarged[0]]
    expected = torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))
    torch.testing.assert_close(on_probe_grid(enlarged, 8)[0], expected, rtol=0, atol=1e-5)
    assert on_probe_grid(enlarged.bfloat16(), 8).dtype == torch.float32


def test_srcnn_has_the_published_layers_and_no_skip():
    convolutions = 9 * 9 * 3 * 64 + 5 * 5 * 64 * 32 + 5 * 5 * 32 * 3
    assert parameters(SRCNN) == convolutions + 64 + 32 + 3
    # Kernels with a single 1 carry x⁺ and (−x)⁺ through and join them: the input itself, up to the border.
    network = SRCNN((6, 6))
    first, second, third = network.body[0], network.body[2], network.body[4]
    with torch.no_grad():
        for layer in (first, second, third):
            layer.weight.zero_()
        for channel in range(3):
            first.weight[channel, channel, 4, 4], first.weight[channel + 3, channel, 4, 4] = 1, -1
            third.weight[channel, channel, 2, 2], third.weight[channel, channel + 3, 2, 2] = 1, -1
        for channel in range(6):
            second.weight[channel, channel, 2, 2] = 1
    assert torch.equal(network(probe(16)), probe(16))


def test_vdsr_adds_the_output_of_its_stack_to_the_probe():
    weights = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3)  # of luma, 1 for 3: the published 664 704
    assert 9 * (64 + 18 * 64 * 64 + 64) == 664_704
    assert parameters(VDSR) == weights + 19 * 64 + 3
    torch.manual_seed(0)
    network = VDSR(depth=4, width=5).double()
    x = enlarged = probe(8, dtype=torch.float64)
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    for number, layer in enumerate(layers):
        x = F.conv2d(F.pad(x, [1] * 4), layer.weight, layer.bias)
        x = x.clamp(min=0) if number < 3 else x
    torch.testing.assert_close(network(enlarged) - enlarged, x, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="got 1"):
        VDSR(depth=1)


def silent_lapsrn():
    """LapSRN without residuals."""
    torch.manual_seed(0)
    network = LapSRN(depth=1, width=4).double()
    for step in network.steps:
        torch.nn.init.zeros_(step.residual.weight)
    return network


def test_lapsrn_without_residuals_is_bilinear_up_to_the_border():
    enlarged = probe(32, dtype=torch.float64)
    expected = on_probe_grid(enlarged, 8)
    for face in silent_lapsrn().levels(enlarged):
        expected = F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(face, expected, rtol=1e-12, atol=1e-12)


def test_lapsrn_carries_a_residual_to_the_levels_above():
    enlarged, network = probe(32, dtype=torch.float64), silent_lapsrn()
    before = network.levels(enlarged)
    torch.nn.init.constant_(network.steps[1].residual.bias, 0.5)
    gains = [after - face for after, face in zip(network.levels(enlarged), before, strict=True)]
    for gain, expected in zip(gains, (0, 0.5, 0.5), strict=True):
        torch.testing.assert_close(gain, torch.full_like(gain, expected), rtol=0, atol=1e-12)


def test_lapsrn_enlarges_features_bilinearly_at_the_start():
    torch.manual_seed(0)
    enlarge = LapSRN(depth=1, width=4).steps[0].features[-2]
    features = torch.randn(1, 4, 6, 6)
    expected = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(features)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("factor", [4, 8])
def test_lapsrn_has_ten_convolutions_a_level(factor):
    level = 10 * (9 * 64 * 64 + 64) + (16 * 64 * 64 + 64) + (9 * 64 * 3 + 3) + 16 * 3
    assert parameters(LapSRN, factor) == 9 * 3 * 64 + 64 + {4: 2, 8: 3}[factor] * level


def test_esrgan_has_the_published_number_of_parameters():
    assert parameters(build_super_resolver, "esrgan", factor=4) == PUBLISHED_RRDB_X4
    assert parameters(build_super_resolver, "esrgan") == PUBLISHED_RRDB_X4 + 9 * 64 * 64 + 64


def test_the_whole_of_esrgan_starts_near_the_range_of_a_face():
    torch.manual_seed(0)
    with torch.no_grad():
        assert build_super_resolver("esrgan")(probe(32, batch=1)).abs().max() < 2


def test_a_dense_block_reads_all_that_came_before():
    torch.manual_seed(0)
    block = DenseBlock(4, 2).double()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    made = [x]
    for layer in block.grow:
        y = F.conv2d(torch.cat(made, 1), layer.weight, layer.bias, padding=1)
        made.append(torch.where(y > 0, y, 0.2 * y))
    last = F.conv2d(torch.cat(made, 1), block.last.weight, block.last.bias, padding=1)
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
    assert parameters(Discriminator) == widening + 64 + halving + norms + linear
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
    *of_parameters, _ = torch.autograd.grad(logits.square().sum(), [*network.parameters(), faces])
    assert all(its.abs().max() > 0 for its in of_parameters)
    network.eval()
    (gradient,) = torch.autograd.grad(network(faces)[0], faces)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_coarse_is_the_coarse_net():
    torch.manual_seed(0)
    expected = CoarseSR(**COARSE)
    torch.manual_seed(0)
    assert torch.equal(build_super_resolver("coarse", network=COARSE)(probe(32)), expected(probe(32)))


def test_bicubic_is_the_enlarged_probe():
    network = build_super_resolver("bicubic")
    assert torch.equal(network(probe(16)), probe(16))
    assert list(network.parameters()) == []


@pytest.mark.parametrize("name", ["lapsrn", "esrgan"])
def test_sizes_and_factors_that_do_not_fit_are_refused(name):
    with pytest.raises(ValueError, match="60x60 pixels has no grid 8 times smaller"):
        build_super_resolver(name, **TINY[name])(probe(60))
    with pytest.raises(ValueError, match=r"must be 2, 4, 8, ..., got 6"):
        build_super_resolver(name, factor=6, **TINY[name])
    with pytest.raises(ValueError, match="got 1"):
        build_super_resolver(name, factor=1, **TINY[name])


def test_the_discriminator_refuses_other_sizes():
    with pytest.raises(ValueError, match="got 96"):
        Discriminator(width=2, input_size=96)
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32\), got \(2, 3, 64, 64\)"):
        Discriminator(width=2, input_size=32)(probe(64))


def test_unknown_names_list_the_choices():
    with pytest.raises(
        ValueError, match='no super-resolution network "srgan"; choose one of srcnn, vdsr, lapsrn, esrgan, coarse'
    ):
        build_super_resolver("srgan")
