"""Inception-ResNet-v1 (FaceNet) of facenet-pytorch, whose weights (VGGFace2, CASIA-WebFace) are widely used."""

from torch import Tensor, nn

from rim_lightning.extras import require_extra
from rim_lightning.networks.backbones.base import Backbone, apply_stages
from rim_lightning.networks.backbones.input import input_conv


class InceptionResnetV1(Backbone):
    """Inception-ResNet-v1 on faces of 160x160 pixels, with an embedding of 512 numbers.

    By the names of facenet-pytorch, stage 1 ends with `conv2d_2b` (64 channels, 77x77), stage 2 with `repeat_1` (256,
    17x17), stage 3 with `repeat_2` (896, 8x8) and stage 4 with `block8` (1792, 3x3). No other network here has these
    sizes, so student and assistant must be of this architecture too. The weights are random;
    `published.facenet.load_facenet_pytorch` reads a file.

    Args:
        input_channels: Channels of the input, RGB first.
    """

    def __init__(self, input_channels: int = 3) -> None:
        require_extra("mtcnn", "The network inception_resnet_v1")
        from facenet_pytorch import InceptionResnetV1 as Original

        super().__init__()
        self.input_channels = input_channels
        self.input_size = 160
        self.stage_channels = (64, 256, 896, 1792)
        self.stage_sizes = (77, 17, 8, 3)
        self.embedding_size = 512
        net = Original(pretrained=None)
        if input_channels != 3:
            net.conv2d_1a.conv = input_conv(input_channels, 32, 3, stride=2, bias=False)
        self.stage1 = nn.Sequential(net.conv2d_1a, net.conv2d_2a, net.conv2d_2b)
        self.stage2 = nn.Sequential(net.maxpool_3a, net.conv2d_3b, net.conv2d_4a, net.conv2d_4b, net.repeat_1)
        self.stage3 = nn.Sequential(net.mixed_6a, net.repeat_2)
        self.stage4 = nn.Sequential(net.mixed_7a, net.repeat_3, net.block8)
        self.embed = nn.Sequential(net.avgpool_1a, nn.Flatten(), net.dropout, net.last_linear, net.last_bn)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Compute the four stage maps, see `Backbone.stages`."""
        self.check_input(x)
        x = x * (127.5 / 128)  # (pixel - 127.5) / 128, facenet-pytorch's fixed_image_standardization
        return apply_stages((self.stage1, self.stage2, self.stage3, self.stage4), x)
