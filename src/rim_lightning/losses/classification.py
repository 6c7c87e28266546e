"""Plain softmax over the training people, as VGGFace2 (arXiv 1710.08092) and CenterFace are trained."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.types import NO_IDENTITY, Terms


class SoftmaxClassifier(nn.Module):
    """Cross-entropy of a linear map with bias; nothing is normalized, other than in `MarginSoftmax`.

    Args:
        embedding_size: length E of the embeddings.
        people: number of training people; identities are 0..people - 1.
    """

    def __init__(self, embedding_size: int, people: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, people)

    def forward(self, embedding: Tensor, identity: Tensor) -> Terms:
        """ "loss": mean over the labeled samples of all ranks, 0 if there is none; "accuracy": share of them whose
        largest logit is their own person's.

        Args:
            embedding: (B, E), NOT normalized.
            identity: (B,) int64, 0..people - 1; `NO_IDENTITY` samples are left out.

        Raises:
            ValueError: an identity beyond the number of people.
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
