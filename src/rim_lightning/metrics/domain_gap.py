"""Distance between the features of hallucinated and of sharp faces, on faces that training has not seen."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.mk_mmd import joint_bandwidth, mk_mmd, permutation_p_value
from rim_lightning.metrics.repeats import drop_repeats


class DomainGap(Metric):
    """Unbiased MK-MMD of the discriminator's embeddings, and the chance to see as much if there were no gap.

    On training batches a discriminator drives its MMD up by over-fitting; only unseen faces tell whether the domains
    differ. A `mmd_p` near 0 says that they do, anything above about 0.05 that this many faces do not show it.

    Every second face gives its coarse embedding, the others their sharp one: the two samples must be independent, and
    the embeddings of one face are not.

    Args:
        multipliers: of the median squared distance, as for `DomainLoss`; kernels weigh the same.
        permutations: deals of the permutation test; 1 / (permutations + 1) is the smallest p-value.
        faces: at most, the first by index: time and memory are quadratic in them.
    """

    full_state_update = False
    coarse: list[Tensor]
    hr: list[Tensor]
    index: list[Tensor]

    def __init__(self, multipliers: Tensor, permutations: int = 199, faces: int = 1000):
        super().__init__()
        self.register_buffer("multipliers", multipliers.detach().clone(), persistent=False)
        self.permutations, self.faces = permutations, faces
        self.add_state("coarse", default=[], dist_reduce_fx="cat")
        self.add_state("hr", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, coarse: Tensor, hr: Tensor, index: Tensor) -> None:
        """coarse, hr: (B, D) embeddings of the same faces; index: (B,) int64."""
        self.coarse.append(coarse.detach().float())
        self.hr.append(hr.detach().float())
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Scalars "mmd" and "mmd_p"; NaN for fewer than four faces."""
        if not isinstance(self.index, Tensor) and not self.index:
            return _unknown(self.device)
        _, coarse, hr = drop_repeats(dim_zero_cat(self.index), dim_zero_cat(self.coarse), dim_zero_cat(self.hr))
        coarse, hr = coarse[: self.faces : 2], hr[1 : self.faces : 2]
        if len(hr) < 2:
            return _unknown(self.device)
        bandwidths = self.multipliers.to(coarse) * joint_bandwidth(coarse, hr)
        weights = torch.full_like(bandwidths, 1 / len(bandwidths))
        generator = torch.Generator().manual_seed(0)
        p = permutation_p_value(coarse.cpu(), hr.cpu(), bandwidths.cpu(), weights.cpu(), self.permutations, generator)
        return {"mmd": mk_mmd(coarse, hr, bandwidths, weights), "mmd_p": torch.tensor(p, device=self.device)}


def _unknown(device: torch.device) -> dict[str, Tensor]:
    return {name: torch.tensor(float("nan"), device=device) for name in ("mmd", "mmd_p")}
