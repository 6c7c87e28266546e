"""Perceptual loss: the distance of two faces in the maps of a frozen face network (arXiv 1603.08155)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.networks.recogniser import resized
from rim_lightning.networks.teacher import FrozenTeacher

DISTANCES = {"l1": F.l1_loss, "l2": F.mse_loss}


class PerceptualLoss(nn.Module):
    """Sum over the chosen stages of the mean distance between the maps f^k of two faces; the target has no gradient.

    ESRGAN (arXiv 1809.00219) takes the l1 of one deep map of VGG-19; the last stage of a face network is the nearest.

    Args:
        network: the face network; no parameter of it is trained.
        stages: numbers k of the stages, 1 to 4.
        kind: "l1" absolute or "l2" squared distance.

    Raises:
        ValueError: no stage, a stage outside 1..4 or given twice, or another kind.
    """

    def __init__(self, network: FrozenTeacher, stages: Sequence[int] = (4,), kind: Literal["l1", "l2"] = "l1"):
        super().__init__()
        if not stages or not set(stages) <= {1, 2, 3, 4} or len(set(stages)) < len(stages):
            raise ValueError(f"The stages of the perceptual loss are {list(stages)}; give some of 1, 2, 3 and 4.")
        if kind not in DISTANCES:
            raise ValueError(f"The perceptual loss is {kind!r}; choose 'l1' or 'l2'.")
        self.network = network
        self.stages = tuple(stages)
        self.distance = DISTANCES[kind]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Two (B, 3, S, S), RGB in [-1, 1], resized to the network's input -> scalar.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
        with torch.no_grad():
            wanted = self._maps(target)
        terms = [self.distance(ours, theirs) for ours, theirs in zip(self._maps(prediction), wanted, strict=True)]
        return torch.stack(terms).sum()

    def _maps(self, faces: Tensor) -> list[Tensor]:
        maps = self.network.stages(resized(faces, self.network.input_size))
        return [full_precision(maps[number - 1]) for number in self.stages]
