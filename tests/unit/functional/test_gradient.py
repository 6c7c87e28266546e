"""The scaled gradient."""

import torch

from rim_lightning.functional.gradient import scale_gradient


def test_reversed_gradient():
    x = torch.tensor([2.0, -1.0], requires_grad=True)
    (scale_gradient(x, -0.5) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, -0.5 * 2 * x.detach())
