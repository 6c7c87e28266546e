"""Adapter over facenet-pytorch's Inception-ResNet-v1 (FaceNet), whose weights (VGGFace2, CASIA) many people have."""

from pathlib import Path

from torch import Tensor, nn

from rim_lightning.networks.backbone import Backbone
from rim_lightning.networks.checkpoint import fill, read_state_dict


class InceptionResnetV1(Backbone):
    """Inception-ResNet-v1 on 160x160 faces; embedding of 512.

    Stages, by facenet-pytorch's names: 1 ends with `conv2d_2b` (64 channels, 77x77), 2 with `repeat_1` (256, 17x17),
    3 with `repeat_2` (896, 8x8), 4 with `block8` (1792, 3x3). They are those of no other network here: a student under
    this teacher needs projections. Starts from random weights; `load_facenet_pytorch` reads a file.
    """

    def __init__(self) -> None:
        from facenet_pytorch import InceptionResnetV1 as Original

        super().__init__()
        self.input_size = 160
        self.stage_channels = (64, 256, 896, 1792)
        self.stage_sizes = (77, 17, 8, 3)
        self.embedding_size = 512
        net = Original(pretrained=None)
        self.stage1 = nn.Sequential(net.conv2d_1a, net.conv2d_2a, net.conv2d_2b)
        self.stage2 = nn.Sequential(net.maxpool_3a, net.conv2d_3b, net.conv2d_4a, net.conv2d_4b, net.repeat_1)
        self.stage3 = nn.Sequential(net.mixed_6a, net.repeat_2)
        self.stage4 = nn.Sequential(net.mixed_7a, net.repeat_3, net.block8)
        self.embed = nn.Sequential(net.avgpool_1a, nn.Flatten(), net.dropout, net.last_linear, net.last_bn)

    def stages(self, x: Tensor) -> list[Tensor]:
        """x: (B, 3, 160, 160), RGB in [-1, 1] -> the four stage maps f^1..f^4, (B, C_k, S_k, S_k)."""
        self.check_input(x)
        x = x * (127.5 / 128)  # (pixel - 127.5) / 128, facenet-pytorch's fixed_image_standardization
        maps = []
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            x = stage(x)
            maps.append(x)
        return maps


# Our module of each module of facenet-pytorch's that holds tensors.
MODULES = {
    "stage1.0": "conv2d_1a",
    "stage1.1": "conv2d_2a",
    "stage1.2": "conv2d_2b",
    "stage2.1": "conv2d_3b",
    "stage2.2": "conv2d_4a",
    "stage2.3": "conv2d_4b",
    "stage2.4": "repeat_1",
    "stage3.0": "mixed_6a",
    "stage3.1": "repeat_2",
    "stage4.0": "mixed_7a",
    "stage4.1": "repeat_3",
    "stage4.2": "block8",
    "embed.3": "last_linear",
    "embed.4": "last_bn",
}


def load_facenet_pytorch(path: str | Path) -> InceptionResnetV1:
    """Inception-ResNet-v1 in eval mode from a local file of facenet-pytorch's (20180402-114759-vggface2.pt, ...).

    The classifier that those files also hold (`logits`) is left out. Nothing is downloaded.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or not this network's; the message names the file and the first tensor.
    """
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith("logits.")}
    model = InceptionResnetV1()
    names = {}
    for name in model.state_dict():
        prefix = ".".join(name.split(".")[:2])
        names[name] = MODULES[prefix] + name.removeprefix(prefix)
    fill(model, state, names, path)
    return model.eval()
