"""Channels behind RGB: a network starts as the one that reads RGB alone, bit for bit, and learns to read the others."""

import pytest
import torch

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.input import ExtendedConv, fill_from_rgb, input_conv
from tests.helpers.tiny import BACKBONE

SMALL = {
    "mobilefacenet": BACKBONE,
    "iresnet50": {"name": "iresnet50", "width": 4, "units": (1, 1, 1, 1), "embedding_size": 8, "input_size": 32},
    "resnet34": {"name": "resnet34", "width": 4, "blocks": (1, 1, 1, 1), "embedding_size": 8, "input_size": 32},
    "resnet50": {"name": "resnet50", "width": 4, "blocks": (1, 1, 1, 1), "embedding_size": 128, "input_size": 32},
    "centerface": {"name": "centerface", "width": 4, "units": (1, 1, 1, 1), "embedding_size": 8, "input_size": 64},
}


def images(network, seed=0):
    side = network.input_size
    return torch.rand(2, network.input_channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("arguments", SMALL.values(), ids=SMALL)
def test_further_channels_change_nothing_at_the_start_and_can_learn(arguments):
    torch.manual_seed(0)
    plain = build_backbone(**arguments).eval()
    torch.manual_seed(0)
    network = build_backbone(**arguments, input_channels=5).eval()
    faces = images(network)
    embedding = network(faces)
    assert torch.equal(embedding, plain(faces[:, :3]))
    embedding.square().sum().backward()
    (extra,) = [weight for name, weight in network.named_parameters() if name.endswith("extra_weight")]
    assert extra.shape[1] == 2
    assert extra.grad.abs().sum() > 0
    with torch.no_grad():
        extra.add_(0.1)
    assert not torch.equal(network(faces), embedding)
    with pytest.raises(ValueError, match=f"takes images of .B, 5, {network.input_size}"):
        network(faces[:, :3])


def test_two_convolutions_are_one_over_all_channels():
    conv = ExtendedConv(3, 7, 3, stride=2, padding=1).double()
    torch.nn.init.normal_(conv.extra_weight)
    faces = torch.randn(2, 6, 9, 9, dtype=torch.float64)
    weight = torch.cat([conv.weight, conv.extra_weight], dim=1)
    expected = torch.nn.functional.conv2d(faces, weight, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(faces), expected)
    with pytest.raises(ValueError, match="input_channels is 2"):
        input_conv(2, 7, 3)


def test_weights_of_a_network_that_reads_rgb_fit_and_those_of_another_depth_do_not():
    torch.manual_seed(0)
    teacher, student = build_backbone(**BACKBONE).eval(), build_backbone(**BACKBONE, input_channels=4).eval()
    student.drop_head()
    fill_from_rgb(student, teacher.state_dict())
    faces = images(student)
    assert torch.equal(student.stages(faces)[-1], teacher.stages(faces[:, :3])[-1])
    deeper = build_backbone(**(BACKBONE | {"blocks": (1, 2, 1)}))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fill_from_rgb(student, deeper.state_dict())
