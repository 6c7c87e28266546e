"""ResNet-50 (He et al. 2016) as VGGFace2 trained it with a softmax (arXiv 1710.08092), and its published weights."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from rim_lightning.networks.backbone import Backbone, halved_sizes
from rim_lightning.networks.checkpoint import COUNTER, fill, read_state_dict

MEAN_RGB = (131.0912, 103.8827, 91.4953)  # of VGGFace2's pixels, 0..255; published in BGR order
CONVERSION = (
    "import pickle, torch; torch.save({k: torch.from_numpy(v) for k, v in "
    "pickle.load(open('net.pkl', 'rb'), encoding='latin1').items()}, 'net.pth')"
)


class Bottleneck(nn.Module):
    """1x1 -> 3x3 -> 1x1 with four times the channels, plus a shortcut (1x1 where the shape changes), ReLU.

    The stride is that of the first 1x1, as in He et al.'s Caffe models; torchvision moves it to the 3x3.
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
        """(B, inputs, H, W) -> (B, 4 channels, H / stride, W / stride), sizes rounded up."""
        out = self.norm1(self.conv1(x)).relu()
        out = self.norm2(self.conv2(out)).relu()
        return (self.norm3(self.conv3(out)) + self.shortcut(x)).relu()


class ResNet50(Backbone):
    """ResNet-50 with stages of (4w, 8w, 16w, 32w) channels at /4, /8, /16, /32 of the input, w = `width`.

    The stage maps come after a ReLU: nothing is negative. The last size is rounded up: 4 for an input of 112.

    Args:
        width: channels of the stem; 64 is ResNet-50.
        blocks: bottlenecks per stage; (3, 4, 6, 3) is ResNet-50.
        embedding_size: length of the embedding; 32 `width` is the pooled last stage itself, as published, any other
            size adds a linear map; None leaves the head out.
        input_size: side of the input in pixels, a multiple of 16; the published weights take 224.

    Raises:
        ValueError: an `input_size` that is no multiple of 16.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        embedding_size: int | None = 2048,
        input_size: int = 224,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        _, quarter, eighth, sixteenth = halved_sizes(input_size)
        self.stage_sizes = (quarter, eighth, sixteenth, (sixteenth + 1) // 2)
        self.stage_channels = (4 * width, 8 * width, 16 * width, 32 * width)
        self.embedding_size = embedding_size
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(3, 1, 1), persistent=False)
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
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
        """x: (B, 3, input_size, input_size), RGB in [-1, 1] -> the four stage maps f^1..f^4, (B, C_k, S_k, S_k)."""
        self.check_input(x)
        x = self.stem(x * 127.5 + 127.5 - self.mean)
        maps = []
        for stage in self.body:
            x = stage(x)
            maps.append(x)
        return maps


def load_vggface2(path: str | Path) -> ResNet50:
    """ResNet50 in eval mode from a state dict of cydonia999/VGGFace2-pytorch's `resnet50` (resnet50_ft_weight, ...).

    Depth and width are read off the file; the embedding is the pooled last stage, the input 224. The classifier that
    those files also hold (`fc`) is left out, and the stem, which expects BGR, is turned to RGB. The published .pkl is
    not opened, for that could run code: the message says how to convert it. torchvision's resnet50 has the same names
    and shapes but other strides and another input: its weights load here and mean nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or not this network's; the message names the file and the first tensor.
    """
    try:
        state = read_state_dict(path)
    except ValueError as error:
        if Path(path).suffix != ".pkl":
            raise
        raise ValueError(
            f"{path} is a pickle, which can run code when it is read. If you trust it, convert it once and give the "
            f'.pth file: python -c "{CONVERSION}"'
        ) from error
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    blocks = tuple(
        sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.conv3\.weight", name)) for name in state) for stage in range(1, 5)
    )
    if "conv1.weight" not in state or 0 in blocks:
        raise ValueError(f"{path} does not hold a ResNet-50 named as in VGGFace2-pytorch.")
    width = state["conv1.weight"].shape[0]
    model = ResNet50(width, blocks, 32 * width)
    names = {name: vggface2_name(name) for name in model.state_dict() if not name.endswith(COUNTER)}
    fill(model, state, names, path)
    stem = model.stem[0].weight
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())  # BGR -> RGB
    return model.eval()


def vggface2_name(name: str) -> str:
    """VGGFace2-pytorch's name of our tensor of that name."""
    name = re.sub(r"^body\.(\d)", lambda stage: f"layer{int(stage[1]) + 1}", name)
    for ours, theirs in {"stem.0": "conv1", "stem.1": "bn1", "norm": "bn", "shortcut": "downsample"}.items():
        name = name.replace(ours, theirs)
    return name
