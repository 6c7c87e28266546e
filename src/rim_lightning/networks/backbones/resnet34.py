"""ResNet-34 (He et al. 2016) for faces: the paper's student NθS and assistant NθA."""

from collections.abc import Sequence

from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes
from rim_lightning.networks.backbones.head import embedding_head
from rim_lightning.networks.backbones.input import input_conv
from rim_lightning.networks.prelu import PReLU


class BasicBlock(nn.Module):
    """conv 3x3 -> norm -> PReLU -> conv 3x3 -> norm, plus a shortcut (1x1 where the shape changes), PReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.activation1 = PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.activation2 = PReLU(outputs)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out = self.activation1(self.norm1(self.conv1(x)))
        return self.activation2(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet34(Backbone):
    """ResNet-34 with stages of (w, 2w, 4w, 8w) channels at /2, /4, /8, /16 of the input, w = `width`.

    Two differences from the image classifier give its stages the sizes and signs of those of ResNet50-IR. The stem is a
    3x3 convolution at full size, and the first stage halves the map in its place. PReLU replaces ReLU: the teacher's
    maps have both signs, and a ReLU could never reach the negative half of its target (Eq 11, Eq 12).

    Args:
        width: Channels of the stem; 64 is ResNet-34.
        blocks: Basic blocks of each stage; (3, 4, 6, 3) is ResNet-34.
        embedding_size: Length of the embedding. None leaves the head out.
        input_size: Side of the input in pixels, a multiple of 16.
        dropout: Probability of dropout in the head while training.
        input_channels: Channels of the input, RGB first.

    Raises:
        ValueError: If `input_size` is not a multiple of 16.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        embedding_size: int | None = 512,
        input_size: int = 112,
        dropout: float = 0.0,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        self.input_channels = input_channels
        self.input_size = input_size
        self.stage_sizes = halved_sizes(input_size)
        self.stage_channels = (width, 2 * width, 4 * width, 8 * width)
        self.embedding_size = embedding_size
        first = input_conv(input_channels, width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), PReLU(width))
        inputs = width
        self.body = nn.ModuleList()
        for outputs, repeats in zip(self.stage_channels, blocks, strict=True):
            rest = [BasicBlock(outputs, outputs, 1) for _ in range(repeats - 1)]
            self.body.append(nn.Sequential(BasicBlock(inputs, outputs, 2), *rest))
            inputs = outputs
        self.embed = (
            None if embedding_size is None else embedding_head(inputs, self.stage_sizes[-1], embedding_size, dropout)
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        x = self.stem(x)  # (B, width, input_size, input_size)
        return apply_stages(self.body, x)
