"""Pixel loss between a hallucinated and a sharp face (RIM Eq 2, 5)."""

from typing import Literal

import torch
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision


class PixelLoss(nn.Module):
    """Mean difference between two images over all pixels, channels and samples (Eq 2).

    Args:
        kind: "l2", the squared difference d² (the paper); "l1", the absolute difference; or "charbonnier",
            √(d² + 10⁻⁶), an l1 that is smooth at 0.

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, kind: Literal["l2", "l1", "charbonnier"]) -> None:
        super().__init__()
        if kind not in ("l2", "l1", "charbonnier"):
            raise ValueError(f"The pixel loss is {kind!r}; choose 'l2', 'l1' or 'charbonnier'.")
        self.kind = kind

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            prediction: Hallucinated faces, (B, C, H, W), RGB in [-1, 1].
            target: Sharp faces, same shape and range.

        Returns:
            Scalar ≥ 0.

        Raises:
            ValueError: If the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape.")
        difference = full_precision(prediction) - full_precision(target)
        if self.kind == "l1":
            return difference.abs().mean()
        if self.kind == "charbonnier":
            return torch.sqrt(difference.square() + 1e-6).mean()
        return difference.square().mean()
