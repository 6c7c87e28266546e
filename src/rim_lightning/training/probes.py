"""Training probes: sharp faces made small, of random sizes."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rim_lightning.functional.camera import camera_draws, camera_probe, draw_numbers
from rim_lightning.functional.degradation import DEGRADATIONS, realistic_reduce, sample_probe_sizes, synthesize_probe
from rim_lightning.functional.misalignment import (
    Misalignment,
    check_misalignment,
    draw_moves,
    moved,
    moved_parsing,
    moved_points,
)
from rim_lightning.types import FaceBatch

MOVES, CAMERA, REALISTIC = 2**32, 2**32 + 1, 2**32 + 2
"""Names of random numbers, in place of the number of a process: those of misalignments and of cameras."""


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
        degradation: "bicubic"; "realistic" with blur, noise and JPEG; or "camera", half of whose probes are bicubic or
            area, the others blurred, noisy and compressed (`functional.camera`).
        misalignment: How the probe is moved against the sharp face: not at all; "detector", by errors of the size of
            a detector's; or the largest {"shift": …, "scale": …, "rotation": …} (`functional.misalignment`).
        aligned_share: Share of the probes that stay aligned where `misalignment` moves the others.
        camera_validation: True to verify the validation people by probes of cameras too, moved as by a detector's
            points.
        targets: What a hallucinated face is compared with: "aligned", the sharp face as it is; or "moved", the sharp
            face moved like its probe, with its labels. The teacher always sees the sharp face as it is.
        seed: Seed of sizes, misalignments and degradations.

    Raises:
        ValueError: If the degradation or the misalignment is unknown, or the share is not in [0, 1].
    """

    nominal: int
    nominal_share: float
    low: int
    high: int
    degradation: str
    misalignment: Misalignment
    aligned_share: float
    camera_validation: bool
    targets: str
    seed: int

    def __post_init__(self) -> None:
        if self.degradation not in DEGRADATIONS:
            raise ValueError(f'There is no degradation "{self.degradation}"; choose from {", ".join(DEGRADATIONS)}.')
        check_misalignment(self.misalignment)
        if not 0 <= self.aligned_share <= 1:
            raise ValueError(f"The share of aligned probes is {self.aligned_share}; it must lie in [0, 1].")
        if self.targets not in ("aligned", "moved"):
            raise ValueError(f'The targets of the probes are "aligned" or "moved", got "{self.targets}".')

    def probes(self, hr: Tensor, iteration: int, rank: int = 0, ranks: int = 1) -> Probes:
        """Make the probes of a batch. They depend on the seed, the iteration and the rank alone.

        Sizes, misalignments and cameras of all ranks together are those that one process would draw for the same faces.
        The sharp faces stay where they are.

        Args:
            hr: Sharp faces of this rank, (B, 3, S, S), RGB in [-1, 1].
            iteration: Number of the batch.
            rank: Number of this process.
            ranks: Number of processes.

        Returns:
            The probes, with their sizes.
        """
        everyone = ranks * len(hr)
        sizes, moves = (drawn[rank::ranks] for drawn in self._sizes_and_moves(everyone, iteration))
        if self.misalignment is not None:
            hr = moved(hr, moves)
        generator = torch.Generator()
        if self.degradation == "bicubic":
            return Probes(synthesize_probe(hr, sizes), sizes)
        if self.degradation == "camera":
            generator.manual_seed(_mixed(self.seed, iteration, CAMERA))
            draws = camera_draws(draw_numbers(everyone, generator)[rank::ranks])
            return Probes(camera_probe(hr, sizes, draws), sizes)
        generator.manual_seed(_mixed(self.seed, iteration, REALISTIC, rank))
        return Probes(synthesize_probe(hr, sizes, partial(realistic_reduce, generator=generator)), sizes)

    def targets_of(self, batch: FaceBatch, iteration: int, rank: int = 0, ranks: int = 1) -> FaceBatch:
        """Return the faces and labels that the faces hallucinated from `probes` are compared with.

        Args:
            batch: Sharp faces of this rank, RGB in [-1, 1], and their labels.
            iteration: Number of the batch.
            rank: Number of this process.
            ranks: Number of processes.

        Returns:
            The batch itself with `targets` "aligned"; otherwise faces and labels moved like the probes.
        """
        if self.targets == "aligned" or self.misalignment is None:
            return batch
        side = batch.hr.shape[-1]
        _, all_moves = self._sizes_and_moves(ranks * len(batch.hr), iteration)
        moves = all_moves[rank::ranks]
        return batch._replace(
            hr=moved(batch.hr, moves),
            landmarks={scheme: moved_points(points, moves, side) for scheme, points in batch.landmarks.items()},
            parsing=moved_parsing(batch.parsing, moves),
        )

    def _sizes_and_moves(self, everyone: int, iteration: int) -> tuple[Tensor, Tensor]:
        """Draw the sizes (N,) and the moves (N, 4) of the probes of all ranks, on the CPU."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, iteration))
        sizes = sample_probe_sizes(everyone, self.low, self.high, self.nominal, self.nominal_share, generator)
        generator.manual_seed(_mixed(self.seed, iteration, MOVES))
        return sizes, draw_moves(sizes, self.misalignment, self.aligned_share, generator)


def sharp_probes(hr: Tensor) -> Probes:
    """Return sharp faces (B, 3, S, S) as probes of S pixels."""
    return Probes(hr, torch.full((len(hr),), hr.shape[-1]))


def _mixed(*numbers: int) -> int:
    """One seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
