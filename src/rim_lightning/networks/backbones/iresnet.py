"""IResNet, "ResNet50-IR" of the paper: the teacher NθT, in the layouts whose weights are published."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes
from rim_lightning.networks.backbones.head import embedding_head
from rim_lightning.networks.backbones.input import input_conv
from rim_lightning.networks.prelu import PReLU

Layout = Literal["arcface_torch", "face_evolve", "adaface", "insightface"]
"""Whose IResNet, see `IRUnit`."""


def _norm(channels: int, folded: bool) -> nn.Module:
    """Build the norm behind a convolution, or nothing if it is folded into the convolution."""
    return nn.Identity() if folded else nn.BatchNorm2d(channels)


class IRUnit(nn.Module):
    """Improved residual unit: norm -> conv -> (norm) -> PReLU -> strided conv -> norm, plus a shortcut.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the second convolution.
        layout: "arcface_torch" has the norm in the middle, and a 1x1 convolution as shortcut wherever the map shrinks.
            "face_evolve" has no norm in the middle, and its shortcut subsamples if the channels stay (first stage).
            "adaface" has that shortcut and the norm in the middle. "insightface" is "arcface_torch" in the form of
            ONNX files: every norm behind a convolution is folded into it, so that the convolution has a bias.
    """

    shortcut: nn.Module

    def __init__(self, inputs: int, outputs: int, stride: int, layout: Layout) -> None:
        super().__init__()
        folded = layout == "insightface"
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=folded)
        self.norm2 = nn.Identity() if layout == "face_evolve" else _norm(outputs, folded)
        self.activation = PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=folded)
        self.norm3 = _norm(outputs, folded)
        if inputs != outputs or (stride > 1 and layout in ("arcface_torch", "insightface")):
            shrinking = nn.Conv2d(inputs, outputs, 1, stride, bias=folded)
            self.shortcut = nn.Sequential(shrinking, _norm(outputs, folded))
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
        layout: "arcface_torch", "face_evolve", "adaface" or "insightface", whose residual units differ (`IRUnit`). The
            last norm of "adaface" has no scale and no shift.
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
        if layout not in get_args(Layout):
            raise ValueError(f'layout of IResNet must be one of {", ".join(get_args(Layout))}, got "{layout}".')
        self.input_channels = input_channels
        self.input_size = input_size
        self.stage_sizes = halved_sizes(input_size)
        self.stage_channels = (width, 2 * width, 4 * width, 8 * width)
        self.embedding_size = embedding_size
        folded = layout == "insightface"
        first = input_conv(input_channels, width, 3, padding=1, bias=folded)
        self.stem = nn.Sequential(first, _norm(width, folded), PReLU(width))
        inputs = width
        self.body = nn.ModuleList()
        for outputs, repeats in zip(self.stage_channels, units, strict=True):
            halving = IRUnit(inputs, outputs, 2, layout)
            self.body.append(nn.Sequential(halving, *(IRUnit(outputs, outputs, 1, layout) for _ in range(repeats - 1))))
            inputs = outputs
        self.embed = (
            None
            if embedding_size is None
            else embedding_head(inputs, self.stage_sizes[-1], embedding_size, dropout, affine=layout != "adaface")
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        x = self.stem(x)  # (B, width, input_size, input_size)
        return apply_stages(self.body, x)
