"""Contrastive loss: a probe must find its own face among the teacher's embeddings of all training faces."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.precision import full_precision
from rim_lightning.types import NO_IDENTITY


class ContrastiveLoss(nn.Module):
    """Cross-entropy of the scaled cosines between a probe and the teacher's embeddings of all training faces, the bank.

    The entry of the probe's own face is the target. Other faces of the same person are left out: they are neither the
    target nor wrong. The bank is filled once, before the training (`fill`), because the teacher is frozen. It is no
    parameter and not part of a checkpoint.

    Args:
        scale: Factor of the cosines.

    Attributes:
        bank: Normalized embeddings of the training faces, (N, E), by their position in the data set; None until filled.
        identity: Person of each training face, (N,) int64; None until filled.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        # Plain tensors: DDP would broadcast buffers in every step, and the average of the weights would copy them.
        self.bank: Tensor | None = None
        self.identity: Tensor | None = None

    @torch.no_grad()
    def fill(self, embedding: Tensor, identity: Tensor) -> None:
        """Take the teacher's embeddings of the training faces.

        Args:
            embedding: Embeddings of all training faces in the order of the data set, (N, E), not necessarily
                normalized, on the device of the training.
            identity: Person of each face, (N,) int64; `NO_IDENTITY` where it is unknown. Such a face is nobody else's.
        """
        self.bank = F.normalize(full_precision(embedding))
        self.identity = identity

    def forward(self, embedding: Tensor, index: Tensor) -> Tensor:
        """Compute the mean loss of the batch.

        Args:
            embedding: Embeddings of the probes, (B, E), not necessarily normalized.
            index: Position of each face in the data set, (B,) int64.

        Returns:
            Scalar ≥ 0.

        Raises:
            ValueError: If the bank is not filled.
        """
        if self.bank is None or self.identity is None:
            raise ValueError("The contrastive loss has no embeddings of the training faces: call fill before it.")
        person = self.identity[index]  # (B,)
        masked = (person[:, None] == self.identity) & (person != NO_IDENTITY)[:, None]  # (B, N)
        masked = masked.scatter(1, index[:, None], False)
        # In half precision a scaled cosine would be off by a tenth.
        with torch.autocast(embedding.device.type, enabled=False):
            probe = F.normalize(full_precision(embedding))  # (B, E)
            logits = self.scale * probe @ self.bank.to(probe.dtype).T  # (B, N)
            return F.cross_entropy(logits.masked_fill(masked, -torch.inf), index)
