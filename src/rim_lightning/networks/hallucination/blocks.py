"""Building blocks of the hallucination network."""

from collections.abc import Callable, Sequence
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.prelu import PReLU

BRANCH_START = 0.1  # factor of the last weights of a residual branch at the start
RGB_START = 0.03  # factor of the weights of an RGB layer whose output is added to an image; zero would be unstable

Norm = Literal["none", "instance", "group"]
"""Norm layer of the hallucination network, see `normalization`."""

Upsampling = Literal["pixel_shuffle", "transposed"]
"""Enlargement of feature maps, see `enlargement`."""

Interpolation = Literal["nearest", "bilinear"]
"""Enlargement of an hourglass: nearest repeats pixels, which leaves blocks of 2^depth pixels in its output."""


class Pyramid(nn.Module):
    """Feature maps on a coarse grid to RGB: a residual stack at each level, an enlargement between levels.

    Args:
        inputs: Channels of the input.
        widths: Channels of each level, from coarse to fine.
        blocks: Residual blocks of each level, as many entries as `widths`.
        factors: Enlargement between neighboring levels. With one more entry, the RGB layer makes the last enlargement,
            which saves the convolutions at full size.
        repeats: How often each stack is applied with the same weights.
        norm: Norm layer of the stacks: "none", "instance" or "group".
        upsampling: "pixel_shuffle", or "transposed" for a 7x7 transposed convolution (stride 4 in the authors' code).
        attention: Function of the channels of a level that makes a module (features, maps) -> features, which is
            applied before the stack of each level. None for a pyramid that reads no maps.

    Raises:
        ValueError: If the numbers of widths, blocks and factors do not fit.
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
        attention: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or len(widths) - len(factors) not in (0, 1):
            raise ValueError(
                f"A pyramid needs one width and one number of blocks per level, a factor between levels and perhaps "
                f"one after the last, got widths {list(widths)}, blocks {list(blocks)}, factors {list(factors)}."
            )
        last_factor = factors[-1] if len(factors) == len(widths) else 1
        layers: list[nn.Module] = [conv(inputs, widths[0]), PReLU(widths[0])]
        starts, ends = [], []  # number of layers before the stack of each level, and up to its end
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            starts.append(len(layers))
            if count:
                layers.append(ResidualStack(width, count, repeats, norm))
            ends.append(len(layers))
            if level + 1 < len(widths):
                layers.append(enlargement(width, widths[level + 1], factors[level], upsampling))
                layers.append(PReLU(widths[level + 1]))
        self.body = nn.Sequential(*layers)
        self.starts, self.ends = tuple(starts), tuple(ends)
        self.attention = nn.ModuleList(attention(width) for width in widths) if attention else None
        self.to_rgb = conv(widths[-1], 3 * last_factor**2)
        self.shuffle = nn.PixelShuffle(last_factor)

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that reads the input."""
        return cast(nn.Conv2d, self.body[0])

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Map features to an image.

        Args:
            x: Feature maps, (B, inputs, h, w).
            maps: What the attention reads, (B, K, g, g); None without attention.

        Returns:
            RGB, (B, 3, f * h, f * w), f the product of the factors.
        """
        return self.image(self.level_features(x, maps)[-1])

    def level_features(self, x: Tensor, maps: Tensor | None = None) -> list[Tensor]:
        """Return the features of each level after its stack, (B, widths[k], h_k, w_k); arguments as for `forward`."""
        layers, first, features = list(self.body), 0, []
        for level, (start, end) in enumerate(zip(self.starts, self.ends, strict=True)):
            for layer in layers[first:start]:  # the first convolution, or the enlargement
                x = layer(x)
            if self.attention is not None:
                x = self.attention[level](x, maps)
            for layer in layers[start:end]:  # the stack
                x = layer(x)
            features.append(x)
            first = end
        return features

    def image(self, features: Tensor) -> Tensor:
        """Map the features of the last level, (B, widths[-1], H, W), to RGB, (B, 3, f * h, f * w)."""
        rgb: Tensor = self.shuffle(self.to_rgb(features))
        return rgb


class Fold(nn.Module):
    """Fold pixels into channels. Channels after RGB are constant over the image and are kept once.

    Args:
        factor: Side of a folded square in pixels.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3 + n, H, W) to (B, 3 * factor^2 + n, H / factor, W / factor)."""
        factor = self.factor
        folded = F.pixel_unshuffle(x[:, :3], factor)
        return folded if x.shape[1] == 3 else torch.cat([folded, x[:, 3:, ::factor, ::factor]], dim=1)


class Hourglass(nn.Module):
    """Residual blocks at ever halved size and back, with a skip connection at each size (Newell et al. 2016).

    Args:
        width: Channels.
        depth: How often the size is halved.
        norm: Norm layer of the blocks.
        interpolation: How the inner maps are enlarged.

    Raises:
        ValueError: If `interpolation` is unknown.
    """

    def __init__(self, width: int, depth: int, norm: Norm = "none", interpolation: Interpolation = "nearest") -> None:
        super().__init__()
        if interpolation not in get_args(Interpolation):
            raise ValueError(f'An hourglass enlarges by "nearest" or "bilinear", got "{interpolation}".')
        self.skip = ResidualBlock(width, norm)
        self.down = nn.Sequential(nn.AvgPool2d(2), ResidualBlock(width, norm))
        self.inner = Hourglass(width, depth - 1, norm, interpolation) if depth > 1 else ResidualBlock(width, norm)
        self.up = nn.Upsample(scale_factor=2, mode=interpolation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape. H and W are multiples of 2^depth."""
        # skip: (B, width, H, W); down and inner: (B, width, H / 2, W / 2)
        return self.skip(x) + self.up(self.inner(self.down(x)))


class ResidualStack(nn.Module):
    """Residual blocks, applied several times with the same weights.

    Args:
        width: Channels.
        blocks: Number of residual blocks.
        repeats: How often all blocks are applied.
        norm: Norm layer of the blocks.
    """

    def __init__(self, width: int, blocks: int, repeats: int = 1, norm: Norm = "none") -> None:
        super().__init__()
        self.repeats = repeats
        self.blocks = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        for _ in range(self.repeats):
            x = self.blocks(x)
        return x


class ResidualBlock(nn.Module):
    """conv 3x3 -> norm -> PReLU -> conv 3x3 -> norm, plus the input.

    Without a norm the branch starts small, which keeps deep stacks stable.

    Args:
        width: Channels.
        norm: Norm layer.
    """

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        first, last = conv(width, width, norm=norm), conv(width, width, norm=norm)
        self.body = nn.Sequential(first, normalization(norm, width), PReLU(width), last, normalization(norm, width))
        if norm == "none":
            scale_weight(last, BRANCH_START)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return x + self.body(x)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: Norm = "none") -> nn.Conv2d:
    """Build a padded convolution: at stride 1 the output has the size of the input.

    It has no bias before a norm, because the norm removes it. The weights start as He et al. (2015) derive for the
    PReLU that follows, so that signals keep their size through the stacks. Torch's default shrinks them at every layer,
    and a learning rate of 1e-3 then trains at half the speed.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernel, odd.
        stride: Stride.
        norm: Norm layer that follows.

    Returns:
        The layer.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm == "none")
    nn.init.kaiming_normal_(layer.weight, a=0.25)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normalization(kind: Norm, channels: int) -> nn.Module:
    """Build a norm layer.

    Batch norm is not offered: its statistics would mix the two domains, or erase the very shift between them that the
    MMD measures.

    Args:
        kind: "none", "instance", or "group" with 8 channels in each group.
        channels: Channels of the feature maps.

    Returns:
        The layer.

    Raises:
        ValueError: If `kind` is unknown.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(max(1, channels // 8), channels)
    raise ValueError(f'The norm of the hallucination network must be "none", "instance" or "group", got "{kind}".')


def enlargement(inputs: int, outputs: int, factor: int, upsampling: Upsampling) -> nn.Module:
    """Build a layer that maps (B, inputs, h, w) to (B, outputs, factor * h, factor * w).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        factor: Enlargement.
        upsampling: "pixel_shuffle", or "transposed" for a 7x7 transposed convolution.

    Returns:
        The layer.

    Raises:
        ValueError: If `upsampling` is unknown.
    """
    if upsampling == "pixel_shuffle":
        return nn.Sequential(conv(inputs, outputs * factor**2), nn.PixelShuffle(factor))
    if upsampling == "transposed":
        padding = (7 - factor + 1) // 2
        return nn.ConvTranspose2d(inputs, outputs, 7, factor, padding, output_padding=factor + 2 * padding - 7)
    raise ValueError(f'upsampling must be "pixel_shuffle" or "transposed", got "{upsampling}".')


@torch.no_grad()
def scale_weight(layer: nn.Conv2d, factor: float) -> None:
    """Multiply the weights of a layer in place, before training."""
    layer.weight.mul_(factor)


@torch.no_grad()
def silence_inputs(layer: nn.Conv2d, count: int) -> None:
    """Set the weights of the last `count` input channels of a layer to zero in place, before training."""
    layer.weight[:, layer.weight.shape[1] - count :] = 0
