"""CenterFace, the network of the center loss (Wen et al., ECCV 2016): 27 convolutions, no norms, 512 features."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone, halved_sizes
from rim_lightning.networks.backbones.input import input_conv
from rim_lightning.networks.prelu import PReLU

CROP = 8  # columns cut off on each side: 112 x 96 remain of a 112 x 112 face

# Columns that each stage map lacks, left and right, to be the square that the uncropped face would give.
MARGINS = ((4, 4), (2, 2), (1, 1), (0, 1))


class ResidualUnit(nn.Module):
    """conv 3x3 -> PReLU -> conv 3x3 -> PReLU, plus the input; nothing follows the sum.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation1 = PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation2 = PReLU(channels)
        for conv in (self.conv1, self.conv2):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return x + self.activation2(self.conv2(self.activation1(self.conv1(x))))


class CenterFaceNet(Backbone):
    """CenterFace with stages of (w, 2w, 4w, 8w) channels; 54, 26, 12, 5 px for a 112 input, w = `width`.

    Each stage is an unpadded 3x3 convolution (two in the first), a maximum over 2x2 and residual units. The network
    sees only the `input_size` - 16 columns in the center, the 112 x 96 of the published crop. Columns of zeros make its
    stage maps square, and its head cuts them off again. Without norms it needs the initial weights of the published
    training: Xavier, and N(0, 0.01²) in the residual units.

    The published weights are a Caffe model (ydwen/caffe-face), which no reader here opens. Copy its blobs into
    `CenterFaceNet()`, flip the input channels of the first convolution if it was trained on BGR, and call
    `save_backbone(path, model, "centerface", {})`. The file has the format "rim_lightning".

    Args:
        width: Channels of the first stage, even; 64 is the published network.
        units: Residual units of each stage; (1, 2, 5, 3) is the published network.
        embedding_size: Length of the embedding. None leaves the head out.
        input_size: Side of the input in pixels, a multiple of 16, ≥ 64.
        input_channels: Channels of the input, RGB first.

    Raises:
        ValueError: If `input_size` is another number or `width` is odd.
    """

    def __init__(
        self,
        width: int = 64,
        units: Sequence[int] = (1, 2, 5, 3),
        embedding_size: int | None = 512,
        input_size: int = 112,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        if input_size < 64 or input_size % 16:
            raise ValueError(f"The input size of CenterFace must be a multiple of 16 from 64 on, got {input_size}.")
        if width % 2:
            raise ValueError(f"The width of CenterFace must be even, got {width}.")
        self.input_channels = input_channels
        self.input_size = input_size
        half, quarter, eighth, sixteenth = halved_sizes(input_size)
        self.stage_sizes = (half - 2, quarter - 2, eighth - 2, sixteenth - 2)
        self.stage_channels = (width, 2 * width, 4 * width, 8 * width)
        self.embedding_size = embedding_size
        inputs = width // 2
        first = _plain(input_channels, inputs, reads_faces=True)
        self.body = nn.ModuleList()
        for outputs, repeats in zip(self.stage_channels, units, strict=True):
            rest = [ResidualUnit(outputs) for _ in range(repeats)]
            self.body.append(nn.Sequential(*first, *_plain(inputs, outputs), nn.MaxPool2d(2), *rest))
            first, inputs = [], outputs
        self.embed = None
        if embedding_size is not None:
            size = self.stage_sizes[-1]
            left, right = MARGINS[-1]
            linear = nn.Linear(inputs * size * (size - left - right), embedding_size)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            self.embed = nn.Sequential(nn.ZeroPad2d((-left, -right, 0, 0)), nn.Flatten(), linear)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        # (B, 3, input_size, input_size - 16), (pixel - 127.5) / 128
        x = x[..., CROP:-CROP] * (127.5 / 128)
        maps = []
        for stage, margins in zip(self.body, MARGINS, strict=True):
            x = stage(x)
            maps.append(F.pad(x, margins))  # (B, C_k, S_k, fewer columns) -> (B, C_k, S_k, S_k)
        return maps


def _plain(inputs: int, outputs: int, reads_faces: bool = False) -> list[nn.Module]:
    """Build an unpadded 3x3 convolution and its PReLU."""
    conv = (input_conv if reads_faces else nn.Conv2d)(inputs, outputs, 3)
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.get_parameter("bias"))
    return [conv, PReLU(outputs)]
