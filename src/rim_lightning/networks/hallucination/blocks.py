"""Building blocks of the hallucination network."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function

from rim_lightning.networks.prelu import PReLU

BRANCH_START = 0.1  # factor of the last weights of a residual branch at the start
RGB_START = 0.03  # factor of the weights of an RGB layer whose output is added to an image; zero would be unstable

Norm = Literal["none", "instance", "group"]


Upsampling = Literal["pixel_shuffle", "transposed"]


@torch.no_grad()
def scale_weight(layer: nn.Conv2d, factor: float) -> None:
    """Multiply the layer's weights, at the start."""
    layer.weight.mul_(factor)


def normalization(kind: Norm, channels: int) -> nn.Module:
    """Norm layer by name; "group" has 8 channels a group.

    Raises:
        ValueError: for another name. Batch norm is not offered: its statistics would mix the two domains, or erase the
            very shift between them that the MMD measures.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(max(1, channels // 8), channels)
    raise ValueError(f'The norm of the hallucination network is "none", "instance" or "group", got "{kind}".')


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: Norm = "none") -> nn.Conv2d:
    """Same-size convolution; no bias before a norm, which would take its gradient away.

    It starts as He et al. (2015) derive for the PReLU that follows, so that signals keep their size through the stacks:
    torch's default shrinks them at every layer, and a learning rate of 1e-3 then trains at half the speed.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm == "none")
    nn.init.kaiming_normal_(layer.weight, a=0.25)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """conv 3x3, norm, PReLU, conv 3x3, norm, plus the input; without a norm the branch starts small, which keeps deep
    stacks stable.
    """

    def __init__(self, width: int, norm: Norm):
        super().__init__()
        self.body = nn.Sequential(
            conv(width, width, norm=norm),
            normalization(norm, width),
            PReLU(width),
            conv(width, width, norm=norm),
            normalization(norm, width),
        )
        if norm == "none":
            scale_weight(self.body[3], BRANCH_START)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.body(x)


class ResidualStack(nn.Module):
    """`blocks` residual blocks, applied `repeats` times over with the same weights."""

    def __init__(self, width: int, blocks: int, repeats: int = 1, norm: Norm = "none"):
        super().__init__()
        self.repeats = repeats
        self.blocks = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        for _ in range(self.repeats):
            x = self.blocks(x)
        return x


class Hourglass(nn.Module):
    """Residual blocks at ever halved size and back, with a skip at each size (Newell et al. 2016)."""

    def __init__(self, width: int, depth: int, norm: Norm = "none"):
        super().__init__()
        self.skip = ResidualBlock(width, norm)
        self.down = nn.Sequential(nn.AvgPool2d(2), ResidualBlock(width, norm))
        self.inner = Hourglass(width, depth - 1, norm) if depth > 1 else ResidualBlock(width, norm)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W), H and W multiples of 2^depth -> the same shape."""
        return self.skip(x) + self.up(self.inner(self.down(x)))


class Pyramid(nn.Module):
    """From a coarse grid to RGB: at each level a residual stack, between levels an enlargement.

    Args:
        inputs: channels of the input.
        widths: channels of each level, coarse to fine.
        blocks: residual blocks of each level, as many entries as `widths`.
        factors: enlargement between neighboring levels; with one more, the RGB layer makes the last enlargement, which
            spares the convolutions of full size.
        repeats: how often each stack is applied with the same weights.
        norm: norm layer of the stacks.
        upsampling: "pixel_shuffle", or "transposed", a 7x7 transposed convolution (stride 4 in the authors' code).

    Raises:
        ValueError: numbers of widths, blocks and factors do not fit.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        factors: Sequence[int],
        repeats: int = 1,
        norm: Norm = "none",
        upsampling: Upsampling = "pixel_shuffle",
    ):
        super().__init__()
        if len(widths) != len(blocks) or len(widths) - len(factors) not in (0, 1):
            raise ValueError(
                f"A pyramid needs one width and one number of blocks per level, a factor between levels and perhaps "
                f"one after the last, got widths {list(widths)}, blocks {list(blocks)}, factors {list(factors)}."
            )
        last = factors[-1] if len(factors) == len(widths) else 1
        parts: list[nn.Module] = [conv(inputs, widths[0]), PReLU(widths[0])]
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if count:
                parts.append(ResidualStack(width, count, repeats, norm))
            if number + 1 < len(widths):
                parts += [enlargement(width, widths[number + 1], factors[number], upsampling)]
                parts += [PReLU(widths[number + 1])]
        self.body = nn.Sequential(*parts)
        self.to_rgb = conv(widths[-1], 3 * last**2)
        self.shuffle = nn.PixelShuffle(last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, 3, h * f, w * f), f the product of the factors."""
        return self.shuffle(self.to_rgb(self.body(x)))


def enlargement(inputs: int, outputs: int, factor: int, upsampling: Upsampling) -> nn.Module:
    """(B, inputs, h, w) -> (B, outputs, factor * h, factor * w).

    Raises:
        ValueError: for an unknown kind.
    """
    if upsampling == "pixel_shuffle":
        return nn.Sequential(conv(inputs, outputs * factor**2), nn.PixelShuffle(factor))
    if upsampling == "transposed":
        padding = (7 - factor + 1) // 2
        return nn.ConvTranspose2d(inputs, outputs, 7, factor, padding, output_padding=factor + 2 * padding - 7)
    raise ValueError(f'upsampling is "pixel_shuffle" or "transposed", got "{upsampling}".')


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.scale, None


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """The tensor itself; its gradient is multiplied by `scale` on the way back, -1 reverses it (Ganin et al. 2016)."""
    return _ScaleGradient.apply(x, scale)
