"""Counting of arithmetic: floating-point operations of convolutions and matrix products."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flop_counter() -> FlopCounterMode:
    """Return a context that counts the floating-point operations inside it. A multiply-add counts as two.

    torch's own formula for the backward pass of a convolution ignores its groups: it counts a depthwise convolution of
    64 channels as 65 times its forward pass instead of twice.

    Returns:
        The context. Its `get_total_flops()` returns the count, forward and backward.

    Example:
        >>> with flop_counter() as counter:
        ...     product = torch.ones(2, 3) @ torch.ones(3, 4)
        >>> counter.get_total_flops()
        48
    """
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward})


def _convolution_backward(
    grad_out_shape: Sequence[int],
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *args: Any,
    out_shape: Sequence[Any],
    **kwargs: Any,
) -> int:
    """Count the gradients of a convolution: those of input and weights take the work of the forward pass each.

    Args:
        grad_out_shape: (B, O, …) of the gradient of the output.
        x_shape: (B, C, …) of the input.
        w_shape: (O, C / groups, …) of the weights; (C, O / groups, …) of a transposed convolution.
        *args: Further arguments of the operation; the fifth is whether the convolution is transposed.
        out_shape: Shapes of the gradients that are calculated, None for the others.
        **kwargs: Not used.
    """
    transposed = args[4]
    positions = x_shape if transposed else grad_out_shape  # each of which takes part in one product with the weights
    forward = 2 * positions[0] * prod(positions[2:]) * prod(w_shape)
    gradients: Sequence[bool] = args[7]
    return forward * sum(map(bool, gradients[:2]))  # the third is that of the bias, an addition
