"""Identity loss between embeddings, which trains the hallucination network for recognition (`joint` stage)."""

from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.verification import cosine_similarity


class IdentityLoss(nn.Module):
    """1 − cosine of two embeddings of the same face, averaged over samples. The target has no gradient."""

    def forward(self, embedding: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            embedding: Embeddings of the hallucinated or reduced faces, (B, E), not necessarily normalized.
            target: Embeddings of the sharp faces, (B, E), not necessarily normalized.
            mask: Samples to average over, (B,) bool, together with those of all other ranks. None averages over all
                samples of this rank.

        Returns:
            Scalar in [0, 2]; 0 if the mask is False everywhere.
        """
        distance = 1 - cosine_similarity(embedding, target.detach())
        return distance.mean() if mask is None else masked_mean(distance, mask)
