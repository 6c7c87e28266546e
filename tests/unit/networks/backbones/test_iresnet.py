"""IResNet: published size, one unit of each layout recomputed functionally, shapes of the stages."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.iresnet import IResNet, IRUnit


def scrambled(module: torch.nn.Module) -> torch.nn.Module:
    """fp64, eval mode, every parameter and statistic random, so that no norm is the identity or equals another."""
    generator = torch.Generator().manual_seed(0)
    module.double().eval()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                values = torch.rand(value.shape, dtype=value.dtype, generator=generator)
                value.copy_(values + 0.5 if "var" in name else values - 0.5)
    return module


def norm(x, m):
    return F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, 1e-5)


def prelu(x, slope):
    return torch.where(x > 0, x, slope.view(1, -1, 1, 1) * x)


def test_resnet50_ir_has_the_published_number_of_parameters():
    model = IResNet()

    def unit(inputs, outputs, shrinks):
        convs = 9 * inputs * outputs + 9 * outputs * outputs + (inputs * outputs if shrinks else 0)
        return convs + 2 * inputs + 4 * outputs + outputs + (2 * outputs if shrinks else 0)

    body = sum(
        unit(inputs, outputs, True) + (units - 1) * unit(outputs, outputs, False)
        for inputs, outputs, units in ((64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3))
    )
    stem, head = 27 * 64 + 3 * 64, 2 * 512 + 512 * 49 * 512 + 2 * 512
    counted = sum(p.numel() for p in model.parameters())
    assert counted == body + stem + head
    assert counted + 512 == 43_590_848  # with the linear map's bias, which we fold: "43.59 M" of the model zoo


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 4, 2), (4, 6, 2)])
def test_unit_of_arcface_torch(inputs, outputs, stride):
    unit = scrambled(IRUnit(inputs, outputs, stride, "arcface_torch"))
    x = torch.randn(2, inputs, 8, 8, dtype=torch.float64)
    y = norm(F.conv2d(norm(x, unit.norm1), unit.conv1.weight, padding=1), unit.norm2)
    y = norm(F.conv2d(prelu(y, unit.activation.weight), unit.conv2.weight, stride=stride, padding=1), unit.norm3)
    shortcut = x
    if stride == 2:
        shortcut = norm(F.conv2d(x, unit.shortcut[0].weight, stride=2), unit.shortcut[1])
    torch.testing.assert_close(unit(x), y + shortcut)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 4, 2), (4, 6, 2)])
def test_unit_of_face_evolve(inputs, outputs, stride):
    unit = scrambled(IRUnit(inputs, outputs, stride, "face_evolve"))
    x = torch.randn(2, inputs, 8, 8, dtype=torch.float64)
    y = prelu(F.conv2d(norm(x, unit.norm1), unit.conv1.weight, padding=1), unit.activation.weight)
    y = norm(F.conv2d(y, unit.conv2.weight, stride=stride, padding=1), unit.norm3)
    shortcut = x[..., ::stride, ::stride]
    if inputs != outputs:
        shortcut = norm(F.conv2d(x, unit.shortcut[0].weight, stride=2), unit.shortcut[1])
    torch.testing.assert_close(unit(x), y + shortcut)


@pytest.mark.parametrize("layout", ["arcface_torch", "face_evolve"])
def test_stages_and_head(layout):
    model = scrambled(IResNet(width=4, units=(1, 2, 1, 1), embedding_size=6, input_size=32, layout=layout))
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    maps = model.stages(x)
    assert [tuple(m.shape) for m in maps] == [(2, 4, 16, 16), (2, 8, 8, 8), (2, 16, 4, 4), (2, 32, 2, 2)]
    # Each stage map is the sum that ends the stage: the next one is computed from it and from nothing else.
    torch.testing.assert_close(maps[1], model.body[1][1](model.body[1][0](maps[0])))
    last, linear, out = model.embed[0], model.embed[3], model.embed[4]
    y = norm(maps[-1], last).flatten(1) @ linear.weight.T
    y = (y - out.running_mean) / torch.sqrt(out.running_var + 1e-5) * out.weight + out.bias
    torch.testing.assert_close(model(x), y)


def test_a_network_without_head_says_so():
    model = IResNet(width=4, units=(1, 1, 1, 1), embedding_size=8, input_size=16)
    model.drop_head()
    assert model.embedding_size is None
    assert not any("embed" in name for name, _ in model.named_parameters())
    with pytest.raises(RuntimeError, match="IResNet has no head"):
        model(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match='face_evolve, adaface, insightface, got "resnet"'):
        IResNet(layout="resnet")
