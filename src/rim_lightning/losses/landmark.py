"""Landmark loss on heatmaps (RIM Eq 3)."""

import torch
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.heatmaps import render_heatmaps
from rim_lightning.functional.precision import full_precision


class LandmarkLoss(nn.Module):
    """Mean squared error between predicted heatmaps and Gaussians at the true points (Eq 3).

    The squared error is averaged over the pixels of a channel, then over the annotated (sample, channel) pairs of all
    schemes and all ranks together. Points that are not annotated have no influence.

    Args:
        sigma: Standard deviation of the target Gaussians in pixels of the heatmap.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, heatmaps: dict[str, Tensor], landmarks: dict[str, Tensor], image_size: int) -> Tensor:
        """Compute the loss.

        Args:
            heatmaps: Predicted heatmaps by scheme name, (B, N, h, h).
            landmarks: True points by scheme name, (B, N, 2), x and y in pixels of the image; NaN if not annotated.
                Schemes without a heatmap are ignored.
            image_size: Side of the image that the landmarks refer to, in pixels.

        Returns:
            Scalar ≥ 0; 0 if no point is annotated.

        Raises:
            ValueError: If there are no heatmaps, a scheme has no landmarks, numbers of points differ or a heatmap is
                not square.
        """
        if not heatmaps:
            raise ValueError(
                "The landmark loss got no heatmaps; give the model a landmark scheme or leave the loss out."
            )
        errors, labels = [], []
        for scheme, predicted in heatmaps.items():
            if scheme not in landmarks:
                raise ValueError(f"The batch has no {scheme!r} landmarks, only {sorted(landmarks)}.")
            points = landmarks[scheme]
            if predicted.shape[:2] != points.shape[:2] or predicted.shape[2] != predicted.shape[3]:
                raise ValueError(
                    f"{scheme!r}: heatmaps {tuple(predicted.shape)} do not fit landmarks {tuple(points.shape)}."
                )
            target, labeled = render_heatmaps(points, image_size, predicted.shape[-1], self.sigma)
            errors.append((full_precision(predicted) - target).square().mean((2, 3)).flatten())
            labels.append(labeled.flatten())
        return masked_mean(torch.cat(errors), torch.cat(labels))
