"""Perceptual loss: the distance of two faces in the feature maps of a frozen face network (arXiv 1603.08155)."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.functional.resize import resized


class StagedNetwork(Protocol):
    """A face network with feature maps in stages.

    Attributes:
        input_size: Side of the network's input in pixels.
    """

    input_size: int

    def stages(self, x: Tensor, /) -> list[Tensor]:
        """Compute the feature maps f^1..f^4, (B, C_k, S_k, S_k), of faces (B, 3, input_size, input_size)."""


class PerceptualLoss(nn.Module):
    """Mean absolute distance between the last feature maps f^4 of two faces. The target has no gradient.

    ESRGAN (arXiv 1809.00219) uses one deep map of VGG-19. The last stage of a face network corresponds to it best.

    Args:
        network: Frozen face network, an nn.Module: no parameter of it is trained.
    """

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of faces, which are resized to the input of the network.

        Args:
            prediction: Hallucinated faces, (B, 3, S, S), RGB in [-1, 1].
            target: Sharp faces, same shape and range.

        Returns:
            Scalar ≥ 0.

        Raises:
            ValueError: If the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
        with torch.no_grad():
            target_map = self._last_map(target)
        return F.l1_loss(self._last_map(prediction), target_map)

    def _last_map(self, faces: Tensor) -> Tensor:
        return full_precision(self.network.stages(resized(faces, self.network.input_size))[-1])
