"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), the small teacher and student: 1.2 M parameters at width 64."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes
from rim_lightning.networks.backbones.input import input_conv
from rim_lightning.networks.prelu import PReLU


class ConvUnit(nn.Module):
    """Convolution, then perhaps a batch norm, then perhaps a PReLU.

    Without a norm the convolution has a bias (the folded form). Before a norm it has none: the true gradient of a bias
    would be zero there, and RMSprop or Adam would turn its round-off into full steps.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernel.
        stride: Stride.
        padding: Rows and columns of zeros on each side.
        depthwise: Convolve each channel by itself, or groups of `channel_scale`. Then `outputs` equals `inputs`.
        normalized: Add the batch norm.
        activated: Add the PReLU.
        channel_scale: Channels of a group of a depthwise convolution.
        reads_faces: This is the first convolution of a network, whose input may have channels behind RGB.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        normalized: bool,
        activated: bool = True,
        channel_scale: int = 1,
        reads_faces: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs // channel_scale if depthwise else 1
        options: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups, "bias": not normalized}
        self.conv = (input_conv if reads_faces else nn.Conv2d)(inputs, outputs, kernel, **options)
        self.norm = nn.BatchNorm2d(outputs) if normalized else nn.Identity()
        self.activation = PReLU(outputs) if activated else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, a=0.25 if activated else 1.0)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H', W')."""
        return self.activation(self.norm(self._convolve(x)))

    def _convolve(self, x: Tensor) -> Tensor:
        slow = x.is_cpu and self.conv.groups > 1 and self.conv.stride != (1, 1)
        if not (slow and torch.is_autocast_enabled("cpu")):
            return self.conv(x)
        # On a CPU the backward pass of these layers is ten times as slow in bf16 as in fp32: half of a training step.
        with torch.autocast("cpu", enabled=False):
            return self.conv(x.float()).to(x.dtype)


class InvertedResidual(nn.Module):
    """Expand 1x1 -> depthwise 3x3 -> project 1x1 without activation, perhaps plus the input.

    Args:
        inputs: Channels of the input.
        expanded: Channels in between.
        outputs: Channels of the output.
        stride: Stride of the depthwise convolution.
        residual: Add the input. Then `outputs` equals `inputs` and `stride` is 1.
        normalized: Add a batch norm after each convolution.
    """

    def __init__(
        self, inputs: int, expanded: int, outputs: int, *, stride: int = 1, residual: bool = False, normalized: bool
    ) -> None:
        super().__init__()
        self.residual = residual
        self.expand = ConvUnit(inputs, expanded, 1, normalized=normalized)
        self.depthwise = ConvUnit(
            expanded, expanded, 3, stride=stride, padding=1, depthwise=True, normalized=normalized
        )
        self.project = ConvUnit(expanded, outputs, 1, normalized=normalized, activated=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out = self.expand(x)  # (B, expanded, H, W)
        out = self.depthwise(out)  # (B, expanded, H / stride, W / stride)
        out = self.project(out)  # (B, outputs, H / stride, W / stride)
        return x + out if self.residual else out


class MobileFaceNet(Backbone):
    """MobileFaceNet with stages of (cw, cw, 2cw, 8w) channels at /2, /4, /8, /16, w = `width`, c = `channel_scale`.

    Stage 1 ends after the stem and its depthwise convolution, stages 2 and 3 after the residual bottlenecks at their
    size, stage 4 after the last 1x1 convolution and its PReLU. The head is a depthwise convolution over the whole map
    and a 1x1 convolution without activation.

    Args:
        width: Channels of the stem; 64 is the published network, 16 serves demonstrations and tests.
        blocks: Number of residual bottlenecks in stages 2, 3 and 4, after the one that halves the map.
        embedding_size: Length of the embedding.
        input_size: Side of the input in pixels, a multiple of 16.
        normalization: "batch" to train from scratch. "none" is the form of published ONNX files: the norms are folded
            into the convolutions, which have biases.
        input_channels: Channels of the input, RGB first.
        channel_scale: Factor of the channels between the bottlenecks; insightface's MobileFaceNet has 2.
        pixel_mean: The network sees (pixel - pixel_mean) / pixel_scale, pixels from 0 to 255.
        pixel_scale: See `pixel_mean`.

    Raises:
        ValueError: If `normalization` is unknown, `input_size` is not a multiple of 16, or `pixel_scale` not above 0.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (4, 6, 2),
        embedding_size: int = 512,
        input_size: int = 112,
        normalization: Literal["batch", "none"] = "batch",
        input_channels: int = 3,
        channel_scale: int = 1,
        pixel_mean: float = 127.0,
        pixel_scale: float = 128.0,
    ) -> None:
        super().__init__()
        if normalization not in ("batch", "none"):
            raise ValueError(f'normalization of MobileFaceNet must be "batch" or "none", got "{normalization}".')
        if pixel_scale <= 0:
            raise ValueError(f"pixel_scale of MobileFaceNet must be above 0, got {pixel_scale}.")
        self.input_channels = input_channels
        self.input_size = input_size
        self.pixel_mean, self.pixel_scale = pixel_mean, pixel_scale
        self.stage_sizes = halved_sizes(input_size)
        outer = channel_scale * width
        self.stage_channels = (outer, outer, 2 * outer, 8 * width)
        self.embedding_size = embedding_size
        normalized = normalization == "batch"

        def stage(inputs: int, reducing: int, expanded: int, outputs: int, repeats: int) -> list[nn.Module]:
            first = InvertedResidual(inputs, reducing, outputs, stride=2, normalized=normalized)
            rest = [
                InvertedResidual(outputs, expanded, outputs, residual=True, normalized=normalized)
                for _ in range(repeats)
            ]
            return [first, *rest]

        self.stage1 = nn.Sequential(
            ConvUnit(input_channels, outer, 3, stride=2, padding=1, normalized=normalized, reads_faces=True),
            ConvUnit(outer, outer, 3, padding=1, depthwise=True, channel_scale=channel_scale, normalized=normalized),
        )
        self.stage2 = nn.Sequential(*stage(outer, 2 * width, 2 * width, outer, blocks[0]))
        self.stage3 = nn.Sequential(*stage(outer, 4 * width, 4 * width, 2 * outer, blocks[1]))
        self.stage4 = nn.Sequential(
            *stage(2 * outer, 8 * width, 4 * width, 2 * outer, blocks[2]),
            ConvUnit(2 * outer, 8 * width, 1, normalized=normalized),
        )
        self.embed = nn.Sequential(
            ConvUnit(
                8 * width, 8 * width, self.stage_sizes[-1], depthwise=True, normalized=normalized, activated=False
            ),
            ConvUnit(8 * width, embedding_size, 1, normalized=normalized, activated=False),
            nn.Flatten(),
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        # It cannot be folded into the stem, which pads its border with zeros.
        x = x * (127.5 / self.pixel_scale) + (127.5 - self.pixel_mean) / self.pixel_scale
        # On a CPU, 1x1 and depthwise convolutions are 1.3 to 3 times as fast as in the default layout.
        x = x.contiguous(memory_format=torch.channels_last)
        return apply_stages(self.stage_modules(), x)

    def stage_modules(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Sequential]:
        """Return the modules of the four stages, from the input on."""
        return self.stage1, self.stage2, self.stage3, self.stage4
