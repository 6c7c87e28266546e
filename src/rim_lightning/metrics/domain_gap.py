"""Distance between the features of hallucinated and of sharp faces, on faces that training has not used."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.mk_mmd import joint_bandwidth, permutation_test
from rim_lightning.metrics.unique import keep_unique
from rim_lightning.types import NO_IDENTITY


class DomainGap(Metric):
    """Unbiased MK-MMD of the discriminator's embeddings, with the p-value of a permutation test.

    A discriminator overfits and drives the MMD of training batches up. Only other faces show whether the domains
    differ. A `mmd_p` near 0 shows that they do; above about 0.05, this many faces do not show a difference.

    The test needs two independent samples, and the embeddings of one face or one person are not independent. Every
    second person therefore contributes coarse embeddings only, the others sharp ones only. A face without identity
    counts as a person of its own.

    Args:
        multipliers: Factors of the median squared distance, (U,), one per kernel (see `DomainLoss`). All kernels have
            the same weight.
        permutations: Number of permutations of the test. The smallest p-value is 1 / (permutations + 1).
        faces: Largest number of faces; those with the lowest indices are used. Time and memory are quadratic in it.
    """

    full_state_update = False
    multipliers: Tensor  # (U,)
    coarse: list[Tensor]
    hr: list[Tensor]
    identity: list[Tensor]
    index: list[Tensor]

    def __init__(self, multipliers: Tensor, permutations: int = 199, faces: int = 1000) -> None:
        super().__init__()
        self.register_buffer("multipliers", multipliers.detach().clone(), persistent=False)
        self.permutations, self.faces = permutations, faces
        self.add_state("coarse", default=[], dist_reduce_fx="cat")
        self.add_state("hr", default=[], dist_reduce_fx="cat")
        self.add_state("identity", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, coarse: Tensor, hr: Tensor, identity: Tensor, index: Tensor) -> None:
        """Add a batch of faces.

        Args:
            coarse: Embeddings of the coarse faces, (B, D).
            hr: Embeddings of the same faces, sharp, (B, D).
            identity: Person of each face, (B,) int64, or `NO_IDENTITY`.
            index: Position of each face in the data set, (B,) int64.
        """
        self.coarse.append(coarse.detach().float())
        self.hr.append(hr.detach().float())
        self.identity.append(identity)
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Compute the distance and its p-value over the unique faces.

        Returns:
            Scalars "mmd" and "mmd_p"; NaN if there are fewer than four people.
        """
        if not isinstance(self.index, Tensor) and not self.index:
            return _unknown(self.device)
        states = (dim_zero_cat(state).cpu() for state in (self.index, self.coarse, self.hr, self.identity))
        index, coarse, hr, identity = (state[: self.faces] for state in keep_unique(*states))
        names = torch.where(identity == NO_IDENTITY, identity.max() + 1 + index, identity)
        person = names.unique(return_inverse=True)[1]  # (N,), 0, 1, 2, ...
        if person.max() < 3:
            return _unknown(self.device)
        even = person % 2 == 0
        x, y = coarse[even], hr[~even]
        bandwidths = self.multipliers.to(x) * joint_bandwidth(x, y)
        weights = torch.full_like(bandwidths, 1 / len(bandwidths))
        generator = torch.Generator().manual_seed(0)
        people = torch.cat([person[even], person[~even]])
        test = permutation_test(x, y, bandwidths, weights, self.permutations, generator, people)
        return {
            "mmd": torch.tensor(test.mmd, device=self.device),
            "mmd_p": torch.tensor(test.p_value, device=self.device),
        }


def _unknown(device: torch.device) -> dict[str, Tensor]:
    return {name: torch.tensor(float("nan"), device=device) for name in ("mmd", "mmd_p")}
