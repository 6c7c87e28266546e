"""ResNet-50 (He et al. 2016) as trained on VGGFace2 with a softmax (arXiv 1710.08092)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes
from rim_lightning.networks.backbones.input import input_conv

MEAN_RGB = (131.0912, 103.8827, 91.4953)  # mean pixel of VGGFace2, 0..255; published in the order BGR


class Bottleneck(nn.Module):
    """1x1 -> 3x3 -> 1x1 with four times the channels, plus a shortcut (1x1 where the shape changes), ReLU.

    The first 1x1 convolution has the stride, as in the Caffe models of He et al. In torchvision the 3x3 has it.

    Args:
        inputs: Channels of the input.
        channels: Channels of the first two convolutions.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, stride, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, 4 * channels, H / stride, W / stride), sizes rounded up."""
        out = self.norm1(self.conv1(x)).relu()
        out = self.norm2(self.conv2(out)).relu()
        return (self.norm3(self.conv3(out)) + self.shortcut(x)).relu()


class ResNet50(Backbone):
    """ResNet-50 with stages of (4w, 8w, 16w, 32w) channels at /4, /8, /16, /32 of the input, w = `width`.

    The stage maps follow a ReLU, so that no value is negative. The last size is rounded up: 4 for an input of 112.

    Args:
        width: Channels of the stem; 64 is ResNet-50.
        blocks: Bottlenecks of each stage; (3, 4, 6, 3) is ResNet-50.
        embedding_size: Length of the embedding. With 32 `width` the embedding is the pooled last stage, as published.
            Any other length adds a linear map, and None leaves the head out.
        input_size: Side of the input in pixels, a multiple of 16; 224 for the published weights.
        input_channels: Channels of the input, RGB first.

    Raises:
        ValueError: If `input_size` is not a multiple of 16.
    """

    mean: Tensor

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        embedding_size: int | None = 2048,
        input_size: int = 224,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        self.input_channels = input_channels
        self.input_size = input_size
        _, quarter, eighth, sixteenth = halved_sizes(input_size)
        self.stage_sizes = (quarter, eighth, sixteenth, (sixteenth + 1) // 2)
        self.stage_channels = (4 * width, 8 * width, 16 * width, 32 * width)
        self.embedding_size = embedding_size
        further = [127.5] * (input_channels - 3)  # 0 stays 0
        self.register_buffer("mean", torch.tensor([*MEAN_RGB, *further]).view(-1, 1, 1), persistent=False)
        self.stem = nn.Sequential(
            input_conv(input_channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        inputs = width
        self.body = nn.ModuleList()
        for stage, (outputs, repeats) in enumerate(zip(self.stage_channels, blocks, strict=True)):
            first = Bottleneck(inputs, outputs // 4, 1 if stage == 0 else 2)
            self.body.append(nn.Sequential(first, *(Bottleneck(outputs, outputs // 4, 1) for _ in range(repeats - 1))))
            inputs = outputs
        self.embed = None
        if embedding_size is not None:
            linear = [] if embedding_size == inputs else [nn.Linear(inputs, embedding_size)]
            self.embed = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *linear)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        x = self.stem(x * 127.5 + 127.5 - self.mean)  # (B, width, input_size / 4, input_size / 4)
        return apply_stages(self.body, x)
