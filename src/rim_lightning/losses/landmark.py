"""Landmark loss on heatmaps (RIM Eq 3)."""

from typing import Literal

import torch
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.heatmaps import render_heatmaps
from rim_lightning.functional.precision import full_precision

LEAST_HEIGHT = 0.01
"""Height of a Gaussian of peak 1 within the image below which its point counts as outside."""


class LandmarkLoss(nn.Module):
    """Error of predicted heatmaps, given Gaussians at the true points.

    It is averaged over the annotated (sample, channel) pairs of all schemes and all ranks together. Points that are not
    annotated have no influence.

    Args:
        sigma: Standard deviation of the target Gaussians in pixels of the heatmap.
        kind: "mse", the squared error averaged over the pixels of a channel (Eq 3), for heatmaps of the kind
            "gaussian". "cross_entropy", for those of the kind "logits": the cross-entropy of the position, whose target
            is the Gaussian divided by its sum. It learns faster, because narrow peaks hardly weigh in a mean over
            pixels. A point whose Gaussian does not reach into the image counts as not annotated.

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, sigma: float, kind: Literal["mse", "cross_entropy"]) -> None:
        super().__init__()
        if kind not in ("mse", "cross_entropy"):
            raise ValueError(f"The landmark loss is {kind!r}; choose 'mse' or 'cross_entropy'.")
        self.sigma = sigma
        self.kind = kind

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
            if self.kind == "mse":
                errors.append((full_precision(predicted) - target).square().mean((2, 3)).flatten())
            else:
                errors.append(_position_entropy(full_precision(predicted), target).flatten())
                labeled = labeled & (target.amax((2, 3)) > LEAST_HEIGHT)
            labels.append(labeled.flatten())
        return masked_mean(torch.cat(errors), torch.cat(labels))


def _position_entropy(logits: Tensor, gaussians: Tensor) -> Tensor:
    """Cross-entropy (B, N) of logits (B, N, h, h) and positive targets of the same shape, which are scaled to sum 1."""
    target = gaussians.flatten(2)
    target = target / target.sum(2, keepdim=True).clamp(min=LEAST_HEIGHT)
    return -(target * logits.flatten(2).log_softmax(2)).sum(2)
