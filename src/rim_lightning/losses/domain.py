"""Domain loss: the squared MK-MMD between two sets of embeddings (RIM Eq 6 to 10)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.gradient import scale_gradient
from rim_lightning.functional.mk_mmd import Estimator, Statistic, joint_bandwidth, mk_mmd


class DomainLoss(nn.Module):
    """Squared MK-MMD of the whole batch over all ranks (Eq 7, 8). θ_G descends it, θ_d ascends it (Eq 10).

    Both sets are gathered from all ranks with gradient, because the MMD of one rank's share is a different loss. The
    bandwidth σ is a statistic of the joint batch, without gradient. Kernel u has σ_u = multipliers[u] · σ, a variance
    (Eq 9).

    Args:
        estimator: "unbiased", "biased" (the paper) or "linear", see `mk_mmd`.
        bandwidth: "median" or "mean" of the squared distances of the joint batch.
        multipliers: Positive factors of the bandwidth, one per kernel.
        smoothing: Weight of the running bandwidth in a training batch, in [0, 1). Evaluation uses the running
            bandwidth. 0 gives every batch its own bandwidth.
        learned_weights: Learn the weights β by a softmax of `weight_logits`, so that they are positive and of sum 1.
            The parameter belongs to the side that ascends (θ_d), which raises the power of the test. False keeps β
            uniform.
        queue: Embeddings of each domain that a training batch is compared among: its own and those of the batches
            before, without gradient. A larger sample makes the MMD less noisy. The gradient of each embedding of the
            batch stays as strong as without a queue. 0, or no more than the batch has: its own alone.
        embedding_size: Numbers D of an embedding, for a queue.

    Raises:
        ValueError: If a multiplier is not positive, the smoothing is outside [0, 1), or a queue has no embedding size.
    """

    multipliers: Tensor  # (U,)
    past: Tensor  # (2, queue, D): both domains, the newest first
    running_bandwidth: Tensor  # scalar
    weight_logits: Tensor  # (U,)

    def __init__(
        self,
        estimator: Estimator,
        bandwidth: Statistic,
        multipliers: Sequence[float],
        smoothing: float,
        learned_weights: bool,
        queue: int = 0,
        embedding_size: int | None = None,
    ) -> None:
        super().__init__()
        if not multipliers or min(multipliers) <= 0:
            raise ValueError(f"The bandwidth multipliers are {list(multipliers)}; give one or more positive factors.")
        if not 0 <= smoothing < 1:
            raise ValueError(f"The smoothing of the bandwidth is {smoothing}; it must lie in [0, 1).")
        if queue and embedding_size is None:
            raise ValueError("A queue of embeddings needs their size: give embedding_size.")
        self.estimator = estimator
        self.statistic = bandwidth
        self.smoothing = smoothing
        self.register_buffer("multipliers", torch.tensor(list(multipliers)), persistent=False)
        self.register_buffer("running_bandwidth", torch.zeros(()))  # 0 until the first batch
        logits = torch.zeros(len(multipliers))
        if learned_weights:
            self.weight_logits = nn.Parameter(logits)
        else:
            self.register_buffer("weight_logits", logits, persistent=False)
        self.queue = queue
        self.register_buffer("past", torch.full((2, queue, embedding_size or 0), torch.nan), persistent=queue > 0)
        self._filled = 0  # rows of the queue
        self.register_load_state_dict_post_hook(lambda loss, _: loss._count())

    def forward(self, x: Tensor, y: Tensor, advance: bool = True) -> Tensor:
        """Compute the loss.

        Args:
            x: Embeddings of one domain on this rank, (B, D), the same shape on every rank.
            y: Embeddings of the other domain on this rank, (B, D).
            advance: False for another look at the batch of the call before: it takes that one's place in the queue.

        Returns:
            Scalar, equal on all ranks. The unbiased estimate can be negative.
        """
        x, y = gather_batch(x), gather_batch(y)
        if self.training and self.queue > len(x):
            x, y = self._with_past(x, y, advance)
        bandwidths = self.multipliers * self._bandwidth(x, y)
        return mk_mmd(x, y, bandwidths, self.weight_logits.softmax(0), self.estimator)

    def _with_past(self, x: Tensor, y: Tensor, advance: bool) -> tuple[Tensor, Tensor]:
        """Put a batch (n, D) of each domain into the queue, and return it with what the queue holds beside it."""
        count = len(x)
        kept = self.past[:, : self.queue - count] if advance else self.past[:, count:]
        past = torch.cat([torch.stack([x, y]).detach(), kept], dim=1)  # (2, queue, D)
        self.past.copy_(past)
        self._filled = min(self.queue, self._filled + count) if advance else max(self._filled, count)
        older = past[:, count : self._filled]
        x, y = (scale_gradient(batch, self._filled / count) for batch in (x, y))
        return torch.cat([x, older[0]]), torch.cat([y, older[1]])

    def _count(self) -> None:
        """Count the rows of a loaded queue."""
        self._filled = int(self.past[0].isfinite().all(1).sum())

    def _bandwidth(self, x: Tensor, y: Tensor) -> Tensor:
        batch = joint_bandwidth(x, y, self.statistic)
        if self.smoothing == 0:
            return batch
        started = self.running_bandwidth > 0
        if not self.training:
            return torch.where(started, self.running_bandwidth, batch)
        blend = self.smoothing * self.running_bandwidth + (1 - self.smoothing) * batch
        value = torch.where(started, blend, batch)
        self.running_bandwidth.copy_(value)
        return value
