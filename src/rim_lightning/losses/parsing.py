"""Parsing loss: cross entropy of pixels (RIM Eq 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.precision import full_precision
from rim_lightning.types import UNLABELED


class ParsingLoss(nn.Module):
    """Cross entropy of the parsing classes, averaged over the labeled pixels of all ranks (Eq 4); 0 if there are none.

    The label of a logit is that of the pixel nearest to its center.
    """

    def forward(self, logits: Tensor, parsing: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            logits: (B, C, h, w), unnormalised.
            parsing: (B, H, W) integers, class 0..C−1 or 255 = `UNLABELED`; any size.
        """
        target = _nearest(parsing, logits.shape[-2:]).long()
        entropy = F.cross_entropy(full_precision(logits), target, ignore_index=UNLABELED, reduction="none")
        return masked_mean(entropy, target != UNLABELED)


def _nearest(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W) -> (B, h, w): the label under each grid pixel's center, the later of two equally near."""
    rows, columns = (
        ((torch.arange(new, device=labels.device) + 0.5) * (old / new)).long()
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]
