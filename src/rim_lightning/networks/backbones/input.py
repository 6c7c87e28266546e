"""First convolution of a recognition network that reads more than RGB."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.widening import widened

UNEVENNESS = 0.5
"""How unevenly the copies of a channel share its weight: without it they would stay equal."""

FURTHER_CHANNELS = "extra_weight"
"""Name of the parameter that reads the channels behind RGB."""


class ExtendedConv(nn.Conv2d):
    """Convolution of RGB plus a convolution of further channels, whose weights start at zero.

    It starts as the convolution of RGB alone, bit for bit, and the weights of a network that reads RGB fit it.

    Args:
        extra: Number of channels behind RGB, > 0.
        outputs: Channels of the output.
        kernel: Side of the kernel.
        **options: Options of `nn.Conv2d`, without groups.
    """

    def __init__(self, extra: int, outputs: int, kernel: int, **options: Any) -> None:
        super().__init__(3, outputs, kernel, **options)
        self.extra_weight = nn.Parameter(torch.zeros(outputs, extra, *self.kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3 + extra, H, W) to (B, outputs, H', W')."""
        further = F.conv2d(x[:, 3:], self.extra_weight, None, self.stride, self.padding, self.dilation)
        return super().forward(x[:, :3]) + further


def input_conv(channels: int, outputs: int, kernel: int, **options: Any) -> nn.Conv2d:
    """Build the first convolution of a backbone.

    Args:
        channels: Channels of the input, RGB first: 3 or more.
        outputs: Channels of the output.
        kernel: Side of the kernel.
        **options: Options of `nn.Conv2d`.

    Raises:
        ValueError: If there are fewer channels than those of RGB.
    """
    if channels < 3:
        raise ValueError(f"input_channels is {channels}; a recognition network reads RGB, 3 channels or more.")
    if channels == 3:
        return nn.Conv2d(3, outputs, kernel, **options)
    return ExtendedConv(channels - 3, outputs, kernel, **options)


def fill_from_rgb(backbone: Backbone, weights: Mapping[str, Tensor], widen: bool = False) -> None:
    """Copy the weights of a network that reads RGB. The weights of further channels stay as they are.

    Args:
        backbone: Network of the same architecture, which may read more channels and may have dropped its head.
        weights: State of the network that reads RGB.
        widen: The backbone may be wider: the weights are spread over it (`widened`), so that it computes the same.

    Raises:
        RuntimeError: If the architectures differ.
        ValueError: If they differ in more than the width, with `widen`.
    """
    kept = {name: value for name, value in backbone.state_dict().items() if name.rpartition(".")[2] == FURTHER_CHANNELS}
    headless = backbone.embed is None
    fitting = {name: value for name, value in weights.items() if not (headless and name.startswith("embed."))}
    if widen:
        wide = {name: value for name, value in backbone.state_dict().items() if name not in kept}
        fitting = widened(fitting, wide, UNEVENNESS, torch.Generator().manual_seed(0))
    backbone.load_state_dict(fitting | kept)
