"""YuNet (Wu, Peng and Yu, 2023): a network of 53,000 weights that finds faces and their five points in one pass.

`weights/yunet.onnx` is the file of OpenCV's model zoo (face_detection_yunet_2023mar), and `weights/yunet.safetensors`
holds the same numbers by the names of `YuNet`, so that neither onnx nor OpenCV is needed to read them.
`weights/yunet.LICENSE` is their license. `cv2.FaceDetectorYN` finds the same faces; this module takes batches and runs
on a GPU.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights" / "yunet.safetensors"
STRIDES = (8, 16, 32)
"""Distance between two cells of each of the three output grids, in pixels."""


class Candidates(NamedTuple):
    """Faces that YuNet finds in one image.

    Attributes:
        boxes: (n, 4) x0, y0, x1, y1 in pixels.
        points: (n, 5, 2) in pixels, in the order of the scheme "five".
        confidences: (n,) in [0, 1].
    """

    boxes: Tensor
    points: Tensor
    confidences: Tensor


class _Unit(nn.Module):
    """A 1x1 convolution, a depthwise 3x3 convolution and, unless it is an output, a ReLU."""

    def __init__(self, inputs: int, outputs: int, output: bool = False) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.pointwise(x))
        return x if self.output else x.relu_()


class YuNet(nn.Module):
    """The network: a stem, five blocks, a pyramid of three grids, and four outputs on each grid."""

    def __init__(self) -> None:
        super().__init__()
        channels = (16, 32, 64, 64, 64, 64)
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.stem_unit = _Unit(16, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(_Unit(inputs, inputs), _Unit(inputs, outputs)) for inputs, outputs in pairwise(channels)
        )
        self.pyramid = nn.ModuleList(_Unit(64, 64) for _ in STRIDES)
        self.classes, self.boxes, self.objects, self.points = (
            nn.ModuleList(_Unit(64, outputs, output=True) for _ in STRIDES) for outputs in (1, 4, 1, 10)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute a box, five points and a confidence for each cell of the three grids.

        Args:
            images: (B, 3, H, W), BGR from 0 to 255. H and W are multiples of 32.

        Returns:
            Boxes (B, cells, 4) as x0, y0, x1, y1, points (B, cells, 5, 2), both in pixels, and
            confidences (B, cells) in [0, 1].
        """
        x = F.max_pool2d(self.stem_unit(self.stem(images).relu_()), 2)
        fine = self.blocks[2](F.max_pool2d(self.blocks[1](self.blocks[0](x)), 2))
        middle = self.blocks[3](F.max_pool2d(fine, 2))
        coarse = self.pyramid[2](self.blocks[4](F.max_pool2d(middle, 2)))
        middle = self.pyramid[1](middle + F.interpolate(coarse, scale_factor=2))
        fine = self.pyramid[0](fine + F.interpolate(middle, scale_factor=2))
        levels = [self._decoded(level, maps) for level, maps in enumerate((fine, middle, coarse))]
        boxes, points, confidences = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
        return boxes, points, confidences

    def _decoded(self, level: int, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the outputs of one grid (B, 64, h, w), as `cv2.FaceDetectorYN` does."""
        batch, _, height, width = maps.shape
        stride = STRIDES[level]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells = torch.stack([columns, rows], dim=-1).reshape(-1, 1, 2).to(maps)  # (cells, 1, 2)
        classes, boxes, objects, points = (
            heads[level](maps).permute(0, 2, 3, 1).reshape(batch, height * width, -1)  # (B, c, h, w) -> (B, cells, c)
            for heads in (self.classes, self.boxes, self.objects, self.points)
        )
        center = (cells[:, 0] + boxes[..., :2]) * stride
        half = boxes[..., 2:].exp() * stride / 2
        return (
            torch.cat([center - half, center + half], dim=-1),
            (cells + points.reshape(batch, -1, 5, 2)) * stride,
            (classes.sigmoid() * objects.sigmoid()).sqrt().squeeze(-1),
        )


def load_yunet(device: str | torch.device = "cpu") -> YuNet:
    """Load the network with the published weights.

    Args:
        device: Device of the network.

    Returns:
        The network, in eval mode.
    """
    from safetensors.torch import load_file

    network = YuNet()
    network.load_state_dict(load_file(WEIGHTS))
    return network.to(device).eval().requires_grad_(False)


@torch.inference_mode()
def yunet_candidates(network: YuNet, images: Tensor, confidence: float) -> list[Candidates]:
    """Find faces in a batch of images.

    Args:
        network: The network.
        images: (B, H, W, 3) uint8 RGB.
        confidence: Smallest confidence of a face, in [0, 1].

    Returns:
        The faces of each image, on the CPU. There are several for each face, with boxes that overlap.
    """
    height, width = images.shape[1:3]
    bgr = images.to(network.stem.weight.device).flip(-1).permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W)
    batch = network(F.pad(bgr, (0, -width % 32, 0, -height % 32)))
    candidates = []
    for boxes, points, confidences in zip(*batch, strict=True):
        sure = confidences >= confidence
        candidates.append(Candidates(boxes[sure].cpu(), points[sure].cpu(), confidences[sure].cpu()))
    return candidates
