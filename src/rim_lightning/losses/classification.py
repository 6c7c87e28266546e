"""Plain softmax over the training people, as VGGFace2 (arXiv 1710.08092) and CenterFace are trained."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.types import NO_IDENTITY, Terms


class SoftmaxClassifier(nn.Module):
    """Cross-entropy of a linear map with bias. Unlike in `MarginSoftmax`, nothing is normalized.

    Args:
        embedding_size: Length E of the embeddings.
        people: Number of training people; identities are 0..people - 1.
    """

    def __init__(self, embedding_size: int, people: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, people)

    def forward(self, embedding: Tensor, identity: Tensor) -> Terms:
        """Compute loss and accuracy over the labeled samples of all ranks.

        Args:
            embedding: (B, E), NOT normalized.
            identity: Person of each sample, (B,) int64, 0..people - 1. Samples with `NO_IDENTITY` are left out.

        Returns:
            "loss", the mean cross-entropy, and "accuracy", the share of samples whose largest logit is that of their
            own person. Both are scalars, 0 if no sample is labeled.

        Raises:
            ValueError: If an identity is ≥ the number of people.
        """
        people = self.linear.out_features
        if len(identity) and int(identity.max()) >= people:
            raise ValueError(
                f"Identity {int(identity.max())} in a batch, but SoftmaxClassifier was built for {people} people."
            )
        labeled, target = identity != NO_IDENTITY, identity.clamp(min=0)
        with torch.autocast(embedding.device.type, enabled=False):  # a large logit loses its fraction in half precision
            logits = self.linear(embedding.to(self.linear.weight.dtype))
            per_sample = F.cross_entropy(logits, target, reduction="none")
        hits = logits.detach().argmax(dim=1) == target
        return {"loss": masked_mean(per_sample, labeled), "accuracy": masked_mean(hits.float(), labeled)}
