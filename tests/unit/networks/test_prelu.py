"""PReLU against torch's own."""

import pytest
import torch
from torch import nn

from rim_lightning.networks.prelu import PReLU


def pair(channels=5):
    """Torch's own PReLU and ours, with the same slopes."""
    torch.manual_seed(0)
    torchs, ours = nn.PReLU(channels), PReLU(channels)
    nn.init.normal_(torchs.weight)
    ours.load_state_dict(torchs.state_dict())
    return torchs, ours


CASES = {"flat": (4, 5), "sequence": (2, 5, 7), "image": (2, 5, 4, 3), "channels_last": (2, 5, 4, 3)}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_torchs_own(name):
    shape = CASES[name]
    torchs, ours = pair()
    x = torch.randn(shape)
    x[0, 0] = 0.0  # the corner of the function
    if name == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    results = []
    for module in (torchs, ours):
        faces = x.clone().requires_grad_()
        out = module(faces)
        (out * torch.arange(out.numel()).view(shape)).sum().backward()
        results.append((out.detach(), faces.grad, module.weight.grad))
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_gradients_of_float64():
    _, ours = pair()
    ours = ours.double()
    x = torch.randn(2, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, (x,))
    assert torch.autograd.gradgradcheck(ours, (x,))
    assert torch.autograd.gradcheck(lambda w: torch.func.functional_call(ours, {"weight": w}, x), (ours.weight,))


def test_bf16_is_as_close_as_torchs_own():
    torchs, ours = pair()
    x = torch.randn(8, 5, 6, 6)
    grads = {}
    for name, module, smaller in (("exact", torchs, False), ("torch", torchs, True), ("ours", ours, True)):
        faces = x.clone().requires_grad_()
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=smaller):
            out = module(faces)
        assert out.dtype == (torch.bfloat16 if smaller else torch.float32)
        out.float().square().sum().backward()
        assert faces.grad.dtype == module.weight.grad.dtype == torch.float32
        grads[name] = faces.grad.float(), module.weight.grad.clone()
    for exact, torchs_own, own in zip(*grads.values(), strict=True):
        assert (own - exact).abs().max() <= 1.5 * (torchs_own - exact).abs().max() + 1e-6


def test_a_frozen_slope_lets_the_gradient_through_and_gets_none():
    torchs, ours = pair()
    ours.requires_grad_(False)
    x = torch.randn(2, 5, 3, 3, requires_grad=True)
    ours(x).sum().backward()
    expected, _ = torch.autograd.grad(torchs(x).sum(), (x, torchs.weight))
    assert ours.weight.grad is None
    torch.testing.assert_close(x.grad, expected)
