"""The terms that compare embeddings of probes with the teacher's, which RIM and the plain distillation share."""

from collections.abc import Mapping

from torch import Tensor, nn

from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.identity import IdentityLoss
from rim_lightning.losses.relational import RelationalLoss
from rim_lightning.types import Terms

EMBEDDING_TERMS = ("embedding", "contrastive", "relational")
"""Names of the terms: 1 − cosine to the own face, the softmax over all training faces, the angles within the batch."""


class EmbeddingTerms(nn.Module):
    """Computes those of `EMBEDDING_TERMS` that have a weight.

    Args:
        contrastive: The contrastive loss, with the teacher's embeddings of the training faces.
    """

    def __init__(self, contrastive: ContrastiveLoss) -> None:
        super().__init__()
        self.identity = IdentityLoss()
        self.contrastive = contrastive
        self.relational = RelationalLoss()

    def forward(self, embedding: Tensor, target: Tensor, index: Tensor, weights: Mapping[str, float]) -> Terms:
        """Compute the unweighted terms whose weight is not 0.

        Args:
            embedding: Embeddings of the probes, (B, E), not necessarily normalized.
            target: The teacher's embeddings of the same faces, (B, E). They get no gradient.
            index: Position of each face in the data set, (B,) int64.
            weights: Term -> weight, with every name of `EMBEDDING_TERMS`.
        """
        terms: Terms = {}
        if weights["embedding"]:
            terms["embedding"] = self.identity(embedding, target)
        if weights["contrastive"]:
            terms["contrastive"] = self.contrastive(embedding, index)
        if weights["relational"]:
            terms["relational"] = self.relational(embedding, target)
        return terms
