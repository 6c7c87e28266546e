"""ResNet-34: parameter count against torchvision's, one block recomputed, stages of ResNet50-IR."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.backbones.resnet34 import BasicBlock, ResNet34


def test_body_has_resnet34s_parameters_and_the_stages_of_resnet50_ir():
    model, teacher = ResNet34(embedding_size=None), IResNet(units=(1, 1, 1, 1), embedding_size=None)
    # torchvision's resnet34 counts 21,797,672 with its 7x7 stem (9,408 + 128) and classifier (513,000). Ours adds a
    # shortcut to the first stage, which halves the map (64 * 64 + 128), and the slopes of 2 PReLUs per block.
    slopes = 2 * (3 * 64 + 4 * 128 + 6 * 256 + 3 * 512)
    body = 21_797_672 - 9_408 - 128 - 513_000 + 4_224 + slopes
    assert sum(p.numel() for p in model.body.parameters()) == body
    assert (model.stage_channels, model.stage_sizes) == ((64, 128, 256, 512), (56, 28, 14, 7))
    assert (model.stage_channels, model.stage_sizes) == (teacher.stage_channels, teacher.stage_sizes)


@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (6, 2)])
def test_block_equals_a_functional_recomputation(outputs, stride):
    torch.manual_seed(0)
    block = BasicBlock(4, outputs, stride).double()
    for _ in range(3):
        block(torch.randn(4, 4, 8, 8, dtype=torch.float64) * 2 + 1)  # statistics away from their start
    block.eval()

    def norm(y, m):
        scale = m.weight / torch.sqrt(m.running_var + m.eps)
        return (y - m.running_mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + m.bias.view(1, -1, 1, 1)

    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    y = norm(F.conv2d(x, block.conv1.weight, stride=stride, padding=1), block.norm1)
    y = norm(F.conv2d(torch.where(y > 0, y, 0.25 * y), block.conv2.weight, padding=1), block.norm2)
    y = y + (x if stride == 1 else norm(F.conv2d(x, block.shortcut[0].weight, stride=2), block.shortcut[1]))
    torch.testing.assert_close(block(x), torch.where(y > 0, y, 0.25 * y))


def test_stages_reach_negative_values_and_the_head_is_optional():
    torch.manual_seed(0)
    model = ResNet34(width=4, blocks=(1, 1, 1, 1), embedding_size=6, input_size=32)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    maps = model.stages(x)
    assert [tuple(m.shape) for m in maps] == [(4, 4, 16, 16), (4, 8, 8, 8), (4, 16, 4, 4), (4, 32, 2, 2)]
    assert all((m < 0).any() for m in maps)
    model.eval()
    torch.testing.assert_close(model(x), model.embed(model.stages(x)[-1]))
    with pytest.raises(RuntimeError, match="ResNet34 has no head"):
        ResNet34(width=4, blocks=(1, 1, 1, 1), embedding_size=None, input_size=16)(torch.zeros(2, 3, 16, 16))
