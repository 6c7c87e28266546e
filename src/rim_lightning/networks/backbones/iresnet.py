"""IResNet, "ResNet50-IR" of the paper: the teacher NθT, in the two layouts whose weights are published."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes
from rim_lightning.networks.backbones.head import embedding_head
from rim_lightning.networks.backbones.input import input_conv
from rim_lightning.networks.prelu import PReLU

Layout = Literal["arcface_torch", "face_evolve"]
"""Whose IResNet, see `IRUnit`."""


class IRUnit(nn.Module):
    """Improved residual unit: norm -> conv -> (norm) -> PReLU -> strided conv -> norm, plus a shortcut.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the second convolution.
        layout: "arcface_torch" has the norm in the middle, and a 1x1 convolution as shortcut wherever the map shrinks.
            "face_evolve" has no norm in the middle, and its shortcut subsamples if the channels stay (first stage).
    """

    shortcut: nn.Module

    def __init__(self, inputs: int, outputs: int, stride: int, layout: Layout) -> None:
        super().__init__()
        arcface = layout == "arcface_torch"
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs) if arcface else nn.Identity()
        self.activation = PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        if inputs != outputs or (arcface and stride > 1):
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out = self.activation(self.norm2(self.conv1(self.norm1(x))))
        return self.norm3(self.conv2(out)) + self.shortcut(x)


class IResNet(Backbone):
    """IResNet with stages of (w, 2w, 4w, 8w) channels at /2, /4, /8, /16 of the input, w = `width`.

    The stage maps are the sums at the end of each stage, before any norm. They have both signs.

    Args:
        width: Channels of the stem; 64 is the published network.
        units: Residual units of each stage; (3, 4, 14, 3) is ResNet50-IR.
        embedding_size: Length of the embedding. None leaves the head out.
        input_size: Side of the input in pixels, a multiple of 16.
        layout: "arcface_torch" or "face_evolve", whose residual units differ (`IRUnit`).
        dropout: Probability of dropout in the head while training.
        input_channels: Channels of the input, RGB first.

    Raises:
        ValueError: If `layout` is unknown or `input_size` is not a multiple of 16.
    """

    def __init__(
        self,
        width: int = 64,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int | None = 512,
        input_size: int = 112,
        layout: Layout = "arcface_torch",
        dropout: float = 0.0,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        if layout not in ("arcface_torch", "face_evolve"):
            raise ValueError(f'layout of IResNet must be "arcface_torch" or "face_evolve", got "{layout}".')
        self.input_channels = input_channels
        self.input_size = input_size
        self.stage_sizes = halved_sizes(input_size)
        self.stage_channels = (width, 2 * width, 4 * width, 8 * width)
        self.embedding_size = embedding_size
        first = input_conv(input_channels, width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), PReLU(width))
        inputs = width
        self.body = nn.ModuleList()
        for outputs, repeats in zip(self.stage_channels, units, strict=True):
            halving = IRUnit(inputs, outputs, 2, layout)
            self.body.append(nn.Sequential(halving, *(IRUnit(outputs, outputs, 1, layout) for _ in range(repeats - 1))))
            inputs = outputs
        self.embed = (
            None if embedding_size is None else embedding_head(inputs, self.stage_sizes[-1], embedding_size, dropout)
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        x = self.stem(x)  # (B, width, input_size, input_size)
        return apply_stages(self.body, x)
