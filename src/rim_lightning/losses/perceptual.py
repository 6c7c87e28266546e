"""Perceptual loss: the distance of two faces in the maps of a frozen face network (arXiv 1603.08155)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.frozen import FrozenTeacher


class PerceptualLoss(nn.Module):
    """Mean absolute distance between the last maps f^4 of two faces; the target has no gradient.

    ESRGAN (arXiv 1809.00219) takes that of one deep map of VGG-19; the last stage of a face network is the nearest.

    Args:
        network: the face network; no parameter of it is trained.
    """

    def __init__(self, network: FrozenTeacher):
        super().__init__()
        self.network = network

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Two (B, 3, S, S), RGB in [-1, 1], resized to the network's input -> scalar.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
        with torch.no_grad():
            wanted = self._map(target)
        return F.l1_loss(self._map(prediction), wanted)

    def _map(self, faces: Tensor) -> Tensor:
        return full_precision(self.network.stages(resized(faces, self.network.input_size))[-1])
