"""A tensor whose gradient is scaled or reversed."""

from typing import Any

from torch import Tensor
from torch.autograd import Function


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """Return the tensor unchanged, and multiply its gradient by `scale` in the backward pass.

    Args:
        x: Tensor of any shape.
        scale: Factor of the gradient. -1 reverses it (Ganin et al. 2016).

    Returns:
        `x`.

    Example:
        >>> import torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> scale_gradient(3 * x, -0.5).sum().backward()
        >>> x.grad
        tensor([-1.5000, -1.5000])
    """
    return _ScaleGradient.apply(x, scale)


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.scale, None
