"""Domain loss: squared MK-MMD between two sets of embeddings (RIM Eq 6 to 10)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.mk_mmd import Estimator, Statistic, joint_bandwidth, mk_mmd


class DomainLoss(nn.Module):
    """Squared MK-MMD of the whole batch over all ranks (Eq 7, 8): θ_G descends it, θ_d ascends it (Eq 10).

    Both sets are gathered from all ranks with gradient: the MMD of local shards is another loss. The bandwidth σ is a
    statistic of the joint batch, without gradient; kernel u has σ_u = multipliers[u] · σ (Eq 9: a variance).

    Args:
        estimator: "unbiased", "biased" (the paper) or "linear"; see `mk_mmd`.
        bandwidth: "median" or "mean" of the squared distances of the joint batch.
        multipliers: (U,) positive factors, one per kernel.
        smoothing: in [0, 1), share of the running bandwidth that a training batch keeps; the running value is a buffer
            that evaluation reads. 0: every batch has its own bandwidth.
        learned_weights: learn β by a softmax of `weight_logits`, positive and of sum 1; else β is uniform. To raise the
            power of the test, the parameter belongs to the side that ascends (θ_d).

    Raises:
        ValueError: for multipliers that are not positive or a smoothing outside [0, 1).
    """

    def __init__(
        self,
        estimator: Estimator = "unbiased",
        bandwidth: Statistic = "median",
        multipliers: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        smoothing: float = 0.0,
        learned_weights: bool = False,
    ):
        super().__init__()
        if not multipliers or min(multipliers) <= 0:
            raise ValueError(f"The bandwidth multipliers are {list(multipliers)}; give one or more positive factors.")
        if not 0 <= smoothing < 1:
            raise ValueError(f"The smoothing of the bandwidth is {smoothing}; it must lie in [0, 1).")
        self.estimator = estimator
        self.statistic = bandwidth
        self.smoothing = smoothing
        self.register_buffer("multipliers", torch.tensor(list(multipliers)), persistent=False)
        self.register_buffer("running_bandwidth", torch.zeros(()))  # 0: no batch seen yet
        logits = torch.zeros(len(multipliers))
        if learned_weights:
            self.weight_logits = nn.Parameter(logits)
        else:
            self.register_buffer("weight_logits", logits, persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """This rank's (B, D) embeddings of the two domains -> scalar, equal on all ranks; may be negative (unbiased).

        Every rank must bring the same shapes.
        """
        x, y = gather_batch(x), gather_batch(y)
        bandwidths = self.multipliers * self._bandwidth(x, y)
        return mk_mmd(x, y, bandwidths, self.weight_logits.softmax(0), self.estimator)

    def _bandwidth(self, x: Tensor, y: Tensor) -> Tensor:
        batch = joint_bandwidth(x, y, self.statistic)
        if self.smoothing == 0:
            return batch
        seen = self.running_bandwidth > 0
        if not self.training:
            return torch.where(seen, self.running_bandwidth, batch)
        blend = self.smoothing * self.running_bandwidth + (1 - self.smoothing) * batch
        value = torch.where(seen, blend, batch)
        self.running_bandwidth.copy_(value)
        return value
