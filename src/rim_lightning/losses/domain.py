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
            batch stays as strong as without a queue. None, or no more than the batch has: its own alone.

    Attributes:
        past: The queue, (2, n, D) with n ≤ `queue`: both domains, the newest first; None before the first batch. It is
            no buffer, which the average of the weights would average; a run saves it beside the weights.

    Raises:
        ValueError: If a multiplier is not positive or the smoothing is outside [0, 1).
    """

    multipliers: Tensor  # (U,)
    running_bandwidth: Tensor  # scalar
    weight_logits: Tensor  # (U,)

    def __init__(
        self,
        estimator: Estimator,
        bandwidth: Statistic,
        multipliers: Sequence[float],
        smoothing: float,
        learned_weights: bool,
        queue: int | None = None,
    ) -> None:
        super().__init__()
        if not multipliers or min(multipliers) <= 0:
            raise ValueError(f"The bandwidth multipliers are {list(multipliers)}; give one or more positive factors.")
        if not 0 <= smoothing < 1:
            raise ValueError(f"The smoothing of the bandwidth is {smoothing}; it must lie in [0, 1).")
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
        self.queue = queue or 0
        self.past: Tensor | None = None

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
        batch = torch.stack([x, y])  # (2, n, D)
        before = batch[:, :0].detach() if self.past is None else self.past.to(batch)
        older = before[:, : self.queue - count] if advance else before[:, count:]
        self.past = torch.cat([batch.detach(), older], dim=1)
        x, y = torch.cat([scale_gradient(batch, self.past.shape[1] / count), older], dim=1)
        return x, y

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
