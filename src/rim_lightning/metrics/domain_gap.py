"""Distance between the features of hallucinated and of sharp faces, on faces that training has not seen."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.mk_mmd import joint_bandwidth, permutation_test
from rim_lightning.metrics.unique import keep_unique
from rim_lightning.types import NO_IDENTITY


class DomainGap(Metric):
    """Unbiased MK-MMD of the discriminator's embeddings, and the chance to see as much if there were no gap.

    On training batches a discriminator drives its MMD up by over-fitting; only unseen faces tell whether the domains
    differ. A `mmd_p` near 0 says that they do, anything above about 0.05 that this many faces do not show it.

    The faces of every second person give their coarse embeddings, the others their sharp ones: the two samples must be
    independent, and neither the embeddings of one face nor those of one person are. A face of nobody known is a person.

    Args:
        multipliers: of the median squared distance, as for `DomainLoss`; kernels weigh the same.
        permutations: deals of the permutation test; 1 / (permutations + 1) is the smallest p-value.
        faces: at most, the first by index: time and memory are quadratic in them.
    """

    full_state_update = False
    coarse: list[Tensor]
    hr: list[Tensor]
    identity: list[Tensor]
    index: list[Tensor]

    def __init__(self, multipliers: Tensor, permutations: int = 199, faces: int = 1000):
        super().__init__()
        self.register_buffer("multipliers", multipliers.detach().clone(), persistent=False)
        self.permutations, self.faces = permutations, faces
        self.add_state("coarse", default=[], dist_reduce_fx="cat")
        self.add_state("hr", default=[], dist_reduce_fx="cat")
        self.add_state("identity", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, coarse: Tensor, hr: Tensor, identity: Tensor, index: Tensor) -> None:
        """coarse, hr: (B, D) embeddings of the same faces; identity, index: (B,) int64, the person or `NO_IDENTITY`."""
        self.coarse.append(coarse.detach().float())
        self.hr.append(hr.detach().float())
        self.identity.append(identity)
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Scalars "mmd" and "mmd_p"; NaN for fewer than four people."""
        if not isinstance(self.index, Tensor) and not self.index:
            return _unknown(self.device)
        states = (dim_zero_cat(state).cpu() for state in (self.index, self.coarse, self.hr, self.identity))
        index, coarse, hr, identity = (state[: self.faces] for state in keep_unique(*states))
        person = torch.where(identity == NO_IDENTITY, identity.max() + 1 + index, identity).unique(return_inverse=True)[
            1
        ]
        if person.max() < 3:
            return _unknown(self.device)
        even = person % 2 == 0
        x, y = coarse[even], hr[~even]
        bandwidths = self.multipliers.to(x) * joint_bandwidth(x, y)
        weights = torch.full_like(bandwidths, 1 / len(bandwidths))
        generator = torch.Generator().manual_seed(0)
        people = torch.cat([person[even], person[~even]])
        found = permutation_test(x, y, bandwidths, weights, self.permutations, generator, people)
        return {
            "mmd": torch.tensor(found.mmd, device=self.device),
            "mmd_p": torch.tensor(found.p_value, device=self.device),
        }


def _unknown(device: torch.device) -> dict[str, Tensor]:
    return {name: torch.tensor(float("nan"), device=device) for name in ("mmd", "mmd_p")}
