"""Relational distillation: the angles between the faces of a batch are to be those of the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.precision import full_precision


class RelationalLoss(nn.Module):
    """Mean squared difference of the cosines between two faces, over all pairs of different faces of all ranks.

    A form of relational knowledge distillation (Park et al. 2019, arXiv 1904.05068) for embeddings of which only the
    direction counts. The target has no gradient.
    """

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            embedding: Embeddings of the probes of this rank, (B, E), not necessarily normalized.
            target: The teacher's embeddings of the same faces, (B, E'), not necessarily normalized.

        Returns:
            Scalar in [0, 4], equal on all ranks; 0 for a single face.
        """
        # In half precision the error of a cosine is as large as the differences.
        with torch.autocast(embedding.device.type, enabled=False):
            cosines = _cosines(gather_batch(full_precision(embedding)))  # (B, B), B of all ranks
            wanted = _cosines(gather_batch(full_precision(target.detach())))  # (B, B)
        faces = len(cosines)
        return (cosines - wanted.to(cosines.dtype)).square().triu(1).sum() * (2 / max(faces * (faces - 1), 1))


def _cosines(embedding: Tensor) -> Tensor:
    """Cosines (B, B) of all pairs of embeddings (B, E)."""
    direction = F.normalize(embedding)
    return direction @ direction.T
