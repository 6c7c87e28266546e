"""Pixel loss between a hallucinated and a sharp face (RIM Eq 2, 5)."""

from typing import Literal

import torch
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision


class PixelLoss(nn.Module):
    """Mean over all pixels, channels and samples of the difference between two images (Eq 2: "l2").

    Args:
        kind: "l2" squared; "l1" absolute; "charbonnier" √(d² + 10⁻⁶), an l1 that is smooth at 0.

    Raises:
        ValueError: for another kind.
    """

    def __init__(self, kind: Literal["l2", "l1", "charbonnier"] = "l2"):
        super().__init__()
        if kind not in ("l2", "l1", "charbonnier"):
            raise ValueError(f"The pixel loss is {kind!r}; choose 'l2', 'l1' or 'charbonnier'.")
        self.kind = kind

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Two (B, C, H, W) of one shape, RGB in [-1, 1] -> scalar; raises ValueError if the shapes differ."""
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
        difference = full_precision(prediction) - full_precision(target)
        if self.kind == "l1":
            return difference.abs().mean()
        if self.kind == "charbonnier":
            return torch.sqrt(difference.square() + 1e-6).mean()
        return difference.square().mean()
