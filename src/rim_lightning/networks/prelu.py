"""PReLU whose gradient is fast on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F


class PReLU(nn.PReLU):
    """`nn.PReLU` with a faster backward pass on a CPU; outputs and weights are the same.

    On a CPU, torch computes the gradient one element at a time and branches on its sign, which the processor cannot
    predict: a third of a training step of MobileFaceNet. The same products as operations on whole tensors take a third
    of that time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to the same shape."""
        if x.is_cuda or torch.compiler.is_compiling():
            return super().forward(x)
        return _PReLU.apply(x, self.weight)


class _PReLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        out = F.prelu(x, weight)
        ctx.save_for_backward(x.to(out.dtype), weight)  # under autocast `out` may be bf16
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)  # gradient where x > 0, else 0
        below = gradient - above
        slope = weight.to(gradient.dtype).view(-1, *[1] * (x.dim() - 2))  # (C, 1, 1) for images
        other_dims = [dim for dim in range(x.dim()) if dim != 1]
        for_weight = (below * x).sum(other_dims).to(weight.dtype) if ctx.needs_input_grad[1] else None  # (C,)
        return torch.addcmul(above, below, slope), for_weight
