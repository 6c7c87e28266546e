"""Center loss (Wen et al., ECCV 2016), which pulls the embeddings of a person together, beside a softmax loss."""

import torch
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch, masked_mean
from rim_lightning.types import NO_IDENTITY


class CenterLoss(nn.Module):
    """Half the squared distance of each embedding to its person's center, ‖x_i − c_yi‖² / 2 (Eq 2, here a mean).

    The centers are a buffer that starts at 0. `update` changes them, not the optimizer.

    Args:
        embedding_size: Length E of the embeddings.
        people: Number of training people; identities are 0..people - 1.
        alpha: Learning rate of the centers, in [0, 1] (Eq 4; the paper: 0.5).

    Raises:
        ValueError: If `alpha` is out of its range.
    """

    centers: Tensor  # (people, E)

    def __init__(self, embedding_size: int, people: int, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha of CenterLoss must lie in [0, 1], got {alpha}.")
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(people, embedding_size))

    def forward(self, embedding: Tensor, identity: Tensor) -> Tensor:
        """Compute the mean loss over the labeled samples of all ranks.

        Args:
            embedding: (B, E), NOT normalized.
            identity: Person of each sample, (B,) int64, 0..people - 1. Samples with `NO_IDENTITY` are left out.

        Returns:
            Scalar; 0 if no sample is labeled.

        Raises:
            ValueError: If an identity is ≥ the number of people.
        """
        people = len(self.centers)
        if len(identity) and int(identity.max()) >= people:
            raise ValueError(
                f"Identity {int(identity.max())} in a batch, but CenterLoss was built for {people} people."
            )
        distance = embedding.to(self.centers.dtype) - self.centers[identity.clamp(min=0)]
        return masked_mean(distance.square().sum(dim=1) / 2, identity != NO_IDENTITY)

    @torch.no_grad()
    def update(self, embedding: Tensor, identity: Tensor) -> None:
        """Move the centers by a training batch that `forward` has accepted.

        c_j <- c_j - alpha Σ_{i of j} (c_j - x_i) / (1 + n_j), where n_j is the number of samples of person j in the
        batch of all ranks (Eq 4). The center of a person without samples stays. The centers are equal on all ranks.

        Args:
            embedding: (B, E), NOT normalized, the same shape on all ranks.
            identity: Person of each sample, (B,) int64. Samples with `NO_IDENTITY` are left out.
        """
        embedding = gather_batch(embedding.detach().to(self.centers.dtype))
        identity = gather_batch(identity)
        rows = identity.clamp(min=0)
        count = (identity[:, None] == identity).sum(dim=1).to(embedding.dtype)  # samples of the person of sample i
        step = (embedding - self.centers[rows]) * (self.alpha / (1 + count))[:, None]
        labeled = (identity != NO_IDENTITY)[:, None]
        self.centers.index_add_(0, rows, torch.where(labeled, step, torch.zeros_like(step)))
