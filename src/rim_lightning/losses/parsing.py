"""Parsing loss: cross entropy of pixels (RIM Eq 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.precision import full_precision
from rim_lightning.types import UNLABELLED


class ParsingLoss(nn.Module):
    """Cross entropy of the parsing classes, averaged over the labelled pixels of all ranks (Eq 4); 0 if there are none.

    The label of a logit is that of the pixel nearest to its centre.
    """

    def forward(self, logits: Tensor, parsing: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            logits: (B, C, h, w), unnormalised.
            parsing: (B, H, W) integers, class 0..C−1 or 255 = `UNLABELLED`; any size.
        """
        target = _nearest(parsing, logits.shape[-2:]).long()
        entropy = F.cross_entropy(full_precision(logits), target, ignore_index=UNLABELLED, reduction="none")
        return masked_mean(entropy, target != UNLABELLED)


def _nearest(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W) -> (B, h, w): the label under each grid pixel's centre, the later of two equally near."""
    rows, columns = (
        ((torch.arange(new, device=labels.device) + 0.5) * (old / new)).long()
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns]
