"""CenterFace recomputed layer by layer from the description of ydwen/caffe-face; parameters counted by hand."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.centerface import CenterFaceNet
from rim_lightning.networks.teacher_weights import load_teacher, save_backbone

UNITS = (1, 2, 1, 1)


def shaken(**arguments):
    """A network in float64 whose weights are all far from their start: biases, slopes and residual branches count."""
    model = CenterFaceNet(**arguments).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1)
    return model.eval()


def test_published_network_has_27_convolutions_and_its_parameters():
    model = CenterFaceNet()

    def layer(inputs, outputs):  # 3x3 convolution with bias, slopes of the PReLU
        return 9 * inputs * outputs + outputs + outputs

    # conv1a, conv1b, then the convolution before each pool and the pairs of each stage: 2 + 2, 1 + 4, 1 + 10, 1 + 6
    expected = layer(3, 32) + layer(32, 64) + 2 * layer(64, 64)
    expected += layer(64, 128) + 4 * layer(128, 128)
    expected += layer(128, 256) + 10 * layer(256, 256)
    expected += layer(256, 512) + 6 * layer(512, 512)
    expected += 512 * 5 * 4 * 512 + 512  # of 112 x 96 there remain 5 x 4
    assert sum(p.numel() for p in model.parameters()) == expected
    assert sum(isinstance(m, torch.nn.Conv2d) for m in model.modules()) == 27
    assert (model.stage_channels, model.stage_sizes) == ((64, 128, 256, 512), (54, 26, 12, 5))


@torch.inference_mode()
def test_equals_a_functional_recomputation_on_the_crop():
    model = shaken(width=4, units=UNITS, embedding_size=6, input_size=80)
    weights = iter(model.parameters())

    def layer(x, padding):
        x = F.conv2d(x, next(weights), next(weights), padding=padding)
        return torch.where(x > 0, x, x * next(weights).view(-1, 1, 1))

    pixels = torch.randint(0, 256, (2, 3, 80, 80), generator=torch.Generator().manual_seed(1)).double()
    x = (pixels[..., 8:72] - 127.5) / 128  # 80 x 64
    maps = []
    for stage, units in enumerate(UNITS):
        if stage == 0:
            x = layer(x, 0)
        x = F.max_pool2d(layer(x, 0), 2)
        for _ in range(units):
            x = x + layer(layer(x, 1), 1)
        maps.append(x)
    # Places of the columns in the square maps: 8, 4, 2 and 1 of them are missing.
    for actual, expected, start in zip(model.stages(pixels / 127.5 - 1), maps, (4, 2, 1, 0), strict=True):
        stop = start + expected.shape[-1]
        torch.testing.assert_close(actual[..., start:stop], expected)
        assert actual.shape[-1] == actual.shape[-2]
        assert not actual[..., :start].any()
        assert not actual[..., stop:].any()
    embedding = F.linear(x.flatten(1), next(weights), next(weights))
    torch.testing.assert_close(model(pixels / 127.5 - 1), embedding)
    assert next(weights, None) is None


def test_only_the_center_columns_are_seen():
    model = shaken(width=4, units=(1, 1, 1, 1), embedding_size=6, input_size=64)
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).square().sum(), x)
    seen = gradient.abs().sum(dim=(0, 1, 2)) > 0
    assert not seen[:8].any()
    assert not seen[-8:].any()
    assert seen[8:40].all()


@torch.inference_mode()
def test_our_own_file_brings_it_back(tmp_path):
    arguments = {"width": 4, "units": (1, 1, 1, 1), "embedding_size": 6, "input_size": 64}
    model = shaken(**arguments).float()
    save_backbone(tmp_path / "net.pt", model, "centerface", arguments)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert torch.equal(load_teacher("rim_lightning", tmp_path / "net.pt")(x), model(x))


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="multiple of 16 from 64 on, got 48"):
        CenterFaceNet(input_size=48)
    with pytest.raises(ValueError, match="width of CenterFace must be even, got 5"):
        CenterFaceNet(width=5)
    with pytest.raises(RuntimeError, match="CenterFaceNet has no head"):
        CenterFaceNet(4, (1, 1, 1, 1), None, 64)(torch.zeros(1, 3, 64, 64))
