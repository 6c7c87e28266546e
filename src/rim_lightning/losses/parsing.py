"""Parsing loss: the cross-entropy of pixels (RIM Eq 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.precision import full_precision
from rim_lightning.types import UNLABELED


class ParsingLoss(nn.Module):
    """Cross-entropy of the parsing classes, averaged over the labeled pixels of all ranks (Eq 4).

    The label of a grid cell is that of the pixel nearest to its center.
    """

    def forward(self, logits: Tensor, parsing: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: Unnormalized scores of the classes, (B, C, h, w).
            parsing: Class of each pixel, (B, H, W) integers in 0..C−1, or `UNLABELED`. H and W can differ from h and w.

        Returns:
            Scalar ≥ 0; 0 if no pixel is labeled.
        """
        target = _nearest(parsing, logits.shape[-2:]).long()  # (B, h, w)
        entropy = F.cross_entropy(full_precision(logits), target, ignore_index=UNLABELED, reduction="none")
        return masked_mean(entropy, target != UNLABELED)


def _nearest(labels: Tensor, size: torch.Size) -> Tensor:
    """Label (B, h, w) under the center of each cell of a grid (h, w), from labels (B, H, W); of two the later one."""
    rows, columns = (
        ((torch.arange(new, device=labels.device) + 0.5) * (old / new)).long()
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]
