"""The frozen teacher: it cannot be woken, its statistics never move, gradient passes through it."""

import torch
from torch import nn

from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet


def test_statistics_and_weights_never_move_under_a_training_parent():
    torch.manual_seed(0)
    backbone = MobileFaceNet(width=4, blocks=(1, 1, 1), embedding_size=8, input_size=16)
    parent = nn.ModuleDict({"teacher": FrozenTeacher(backbone), "student": nn.Conv2d(3, 3, 1)})
    parent.train()
    assert parent["student"].training
    assert not any(m.training for m in parent["teacher"].modules())
    before = {name: value.clone() for name, value in parent["teacher"].state_dict().items()}
    x = torch.randn(4, 3, 16, 16)
    expected = parent["teacher"](x)
    optimizer = torch.optim.SGD([p for p in parent.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        parent["teacher"](parent["student"](x)).square().sum().backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in parent["teacher"].state_dict().items())
    assert torch.equal(parent["teacher"](x), expected)


def test_gradient_through_stages_and_head_equals_the_unfrozen_networks():
    torch.manual_seed(0)
    backbone = MobileFaceNet(width=4, blocks=(1, 1, 1), embedding_size=8, input_size=16).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    f = torch.randn(2, 32, 1, 1, dtype=torch.float64, requires_grad=True)
    (free,) = torch.autograd.grad(backbone(x).square().sum(), x)
    teacher = FrozenTeacher(backbone)
    assert not any(p.requires_grad for p in teacher.parameters())
    (frozen,) = torch.autograd.grad(teacher(x).square().sum(), x)
    torch.testing.assert_close(frozen, free, rtol=0, atol=0)
    (through_head,) = torch.autograd.grad(teacher.head(f).sum(), f)
    assert (through_head.flatten(1).norm(dim=1) > 0).all()
    assert (teacher.input_size, teacher.stage_channels, teacher.stage_sizes, teacher.embedding_size) == (
        16,
        (4, 4, 8, 32),
        (8, 4, 2, 1),
        8,
    )
