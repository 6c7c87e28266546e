"""Adapter over facenet-pytorch's Inception-ResNet-v1 (FaceNet), whose weights (VGGFace2, CASIA) many people have."""

from torch import Tensor, nn

from rim_lightning.networks.backbones.base import Backbone


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
