"""Identity loss between embeddings, which carries recognition into the hallucination network (`joint` stage)."""

from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.functional.verification import cosine_similarity


class IdentityLoss(nn.Module):
    """1 − cosine of two embeddings of the same face, averaged over samples; the target has no gradient."""

    def forward(self, embedding: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [0, 2].

        Args:
            embedding: (B, E), of the hallucinated or reduced face. target: (B, E), of the sharp one; any length.
            mask: (B,) bool, samples to average over, over all ranks; none: all. A mask without any gives 0.
        """
        distance = 1 - cosine_similarity(embedding, target.detach())
        return distance.mean() if mask is None else masked_mean(distance, mask)
