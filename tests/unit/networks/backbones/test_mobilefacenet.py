"""MobileFaceNet against its published parameter count, an independent forward pass and the folding of its norms."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.mobilefacenet import ConvUnit, InvertedResidual, MobileFaceNet


def tiny(**changes) -> MobileFaceNet:
    torch.manual_seed(0)
    return MobileFaceNet(**{"width": 8, "blocks": (1, 2, 1), "embedding_size": 16, "input_size": 32, **changes})


def test_stage_maps_have_the_documented_shapes():
    model = tiny().eval()
    maps = model.stages(torch.zeros(2, 3, 32, 32))
    assert model.stage_channels == (8, 8, 16, 64)
    assert model.stage_sizes == (16, 8, 4, 2)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, s, s) for c, s in zip(model.stage_channels, model.stage_sizes, strict=True)
    ]
    assert torch.equal(model(torch.zeros(2, 3, 32, 32)), model.head(maps[-1]))


def test_width_64_has_the_1_19_million_parameters_of_the_folded_original():
    model = MobileFaceNet(normalization="none")
    # By hand. Stem 3*3*3*64 + bias 64 + slope 64; depthwise 9*64 + 128.
    stage1 = 1728 + 128 + 576 + 128

    def bottleneck(inputs, expanded, outputs):
        return inputs * expanded + 2 * expanded + 9 * expanded + 2 * expanded + expanded * outputs + outputs

    stage2 = bottleneck(64, 128, 64) * 5
    stage3 = bottleneck(64, 256, 128) + 6 * bottleneck(128, 256, 128)
    stage4 = bottleneck(128, 512, 128) + 2 * bottleneck(128, 256, 128) + 128 * 512 + 2 * 512
    head = 49 * 512 + 512 + 512 * 512 + 512
    assert sum(p.numel() for p in model.parameters()) == stage1 + stage2 + stage3 + stage4 + head == 1_190_336


def test_forward_equals_a_functional_recomputation():
    model = tiny(normalization="none").double()
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1

    def conv(unit: ConvUnit, y, stride=1, padding=0, groups=1):
        y = F.conv2d(y, unit.conv.weight, unit.conv.bias, stride, padding, groups=groups)
        slope = getattr(unit.activation, "weight", torch.ones(1, dtype=y.dtype))
        return torch.where(y > 0, y, slope.view(1, -1, 1, 1) * y)

    y = ((x + 1) * 127.5 - 127) / 128  # pixel values 0..255 to the published input
    y = conv(model.stage1[1], conv(model.stage1[0], y, 2, 1), 1, 1, 8)
    for stage in (model.stage2, model.stage3, model.stage4):
        for i, block in enumerate(stage):
            if isinstance(block, InvertedResidual):
                expanded = block.expand.conv.out_channels
                z = conv(block.expand, y)
                z = conv(block.project, conv(block.depthwise, z, 2 if i == 0 else 1, 1, expanded))
                y = z if i == 0 else y + z
            else:
                y = conv(block, y)
    y = conv(model.embed[1], conv(model.embed[0], y, groups=64)).flatten(1)
    torch.testing.assert_close(model(x), y)


def test_folding_the_batch_norms_gives_the_folded_form():
    trained = tiny().double()
    for _ in range(3):  # move the running statistics away from their start
        trained(torch.randn(8, 3, 32, 32, dtype=torch.float64))
    trained.eval()
    folded = tiny(normalization="none").double().eval()
    sources = [m for m in trained.modules() if isinstance(m, ConvUnit)]
    targets = [m for m in folded.modules() if isinstance(m, ConvUnit)]
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            assert source.conv.bias is None
            assert target.conv.bias is not None
            gain = source.norm.weight / torch.sqrt(source.norm.running_var + source.norm.eps)
            target.conv.weight.copy_(source.conv.weight * gain.view(-1, 1, 1, 1))
            target.conv.bias.copy_(source.norm.bias - gain * source.norm.running_mean)
            target.activation.load_state_dict(source.activation.state_dict())
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(folded(x), trained(x))


def test_errors_name_the_value():
    with pytest.raises(ValueError, match='"batch" or "none", got "layer"'):
        tiny(normalization="layer")
    with pytest.raises(ValueError, match="multiple of 16, got 40"):
        tiny(input_size=40)
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32\), got \(1, 3, 64, 64\)"):
        tiny()(torch.zeros(1, 3, 64, 64))


def test_strided_depthwise_convolutions_step_out_of_autocast_and_stay_bf16_outside():
    torch.manual_seed(0)
    unit = ConvUnit(8, 8, 3, stride=2, padding=1, depthwise=True, normalized=False, activated=False)
    x = torch.randn(2, 8, 6, 6).bfloat16().requires_grad_()
    exact = x.detach().float().requires_grad_()
    upstream = torch.randn(2, 8, 3, 3).bfloat16()
    expected = unit.conv(exact)
    for_x, for_weight = torch.autograd.grad(expected, (exact, unit.conv.weight), upstream.float())
    with torch.autocast("cpu", torch.bfloat16):
        out = unit(x)
    out.backward(upstream)
    assert torch.equal(out, expected.bfloat16())
    assert torch.equal(x.grad, for_x.bfloat16())
    assert torch.equal(unit.conv.weight.grad, for_weight)
