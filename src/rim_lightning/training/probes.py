"""Training probes: sharp faces made small, of random sizes."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rim_lightning.functional.degradation import DEGRADATIONS, realistic_reduce, sample_probe_sizes, synthesize_probe


class Probes(NamedTuple):
    """Probes of B faces.

    Attributes:
        enlarged: Probes enlarged to the side of the sharp faces, (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,) int64, on the CPU.
    """

    enlarged: Tensor
    sizes: Tensor


@dataclass(frozen=True)
class ProbeSampling:
    """How training faces become probes.

    A probe has the nominal size with probability `nominal_share`; otherwise its size is log-uniform from `low` to
    `high`.

    Attributes:
        nominal: Nominal side of a probe in pixels.
        nominal_share: Probability of the nominal size; 1 reproduces the paper.
        low: Smallest side in pixels.
        high: Largest side in pixels.
        degradation: "bicubic", or "realistic" with blur, noise and JPEG.
        seed: Seed of sizes and degradations.

    Raises:
        ValueError: If the degradation is unknown.
    """

    nominal: int
    nominal_share: float
    low: int
    high: int
    degradation: str
    seed: int

    def __post_init__(self) -> None:
        if self.degradation not in DEGRADATIONS:
            raise ValueError(f'There is no degradation "{self.degradation}"; choose from {", ".join(DEGRADATIONS)}.')

    def probes(self, hr: Tensor, iteration: int, rank: int = 0, ranks: int = 1) -> Probes:
        """Make the probes of a batch. They depend on the seed, the iteration and the rank alone.

        The sizes of all ranks together are those that one process would sample for the same faces.

        Args:
            hr: Sharp faces of this rank, (B, 3, S, S), RGB in [-1, 1].
            iteration: Number of the batch.
            rank: Number of this process.
            ranks: Number of processes.

        Returns:
            The probes, with their sizes.
        """
        generator = torch.Generator().manual_seed(_mixed(self.seed, iteration))
        sizes = sample_probe_sizes(ranks * len(hr), self.low, self.high, self.nominal, self.nominal_share, generator)[
            rank::ranks
        ]
        if self.degradation == "bicubic":
            return Probes(synthesize_probe(hr, sizes), sizes)
        generator.manual_seed(_mixed(self.seed, iteration, rank))
        return Probes(synthesize_probe(hr, sizes, partial(realistic_reduce, generator=generator)), sizes)


def sharp_probes(hr: Tensor) -> Probes:
    """Return sharp faces (B, 3, S, S) as probes of S pixels."""
    return Probes(hr, torch.full((len(hr),), hr.shape[-1]))


def _mixed(*numbers: int) -> int:
    """One seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
