"""Order of the faces of an epoch, and which rank sees them."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DistributedSampler

from rim_lightning.data.dataset import FaceKey


class FaceSampler(DistributedSampler[FaceKey]):
    """Yields the faces of an epoch over a union of sets: a function of (seed, epoch) alone, the same on every rank.

    Rank r of W takes every W-th face of the epoch from face r on. The k-th batches of all ranks together are thus the
    k-th batch that one process would have with W times the batch size. All ranks take equally many faces; a remainder
    is dropped.

    It is a `DistributedSampler` because Lightning replaces every other sampler under DDP.

    Args:
        lengths: Number of faces of each set, in the order of the union.
        shares: Share of each set in an epoch, in the same order, on any positive scale; None takes every face once. If
            an epoch takes more faces of a set than it has, the set is repeated, each face equally often within one.
            Each repetition has a number, so that it is another view of the face.
        samples_per_epoch: Faces of an epoch over all ranks, only with `shares`; None takes the size of the union.
        seed: Seed of the order.
        rank: Rank of this process.
        world: Number of processes.

    Attributes:
        start: Faces of this rank that the next `__iter__` leaves out, and no later one: there an interrupted run
            resumes.

    Raises:
        ValueError: If `shares` does not match the sets, is negative or asks for an empty set; or if
            `samples_per_epoch` comes without `shares`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        shares: Sequence[float] | None = None,
        samples_per_epoch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        faces = range(sum(lengths))
        super().__init__(
            faces,  # type: ignore[arg-type]  # torch needs its length only
            num_replicas=world,
            rank=rank,
            seed=seed,
            drop_last=True,
        )
        if shares is None:
            if samples_per_epoch is not None:
                raise ValueError("samples_per_epoch needs shares: without them an epoch is every face once.")
            self.counts = tuple(lengths)
        else:
            self.counts = _faces_per_set(lengths, shares, samples_per_epoch or sum(lengths))
        self.lengths = tuple(lengths)
        self.num_samples = sum(self.counts) // world
        self.total_size = self.num_samples * world
        self.start = 0

    def __iter__(self) -> Iterator[FaceKey]:
        start, self.start = self.start, 0
        rng = np.random.default_rng((self.seed, self.epoch))
        first_positions = np.cumsum((0, *self.lengths))
        positions, repetitions = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for first, length, count in zip(first_positions, self.lengths, self.counts, strict=False):
            if count:
                rounds = range(-(-count // length))
                positions.append(first + np.concatenate([rng.permutation(length) for _ in rounds])[:count])
                repetitions.append(np.arange(count) // length)
        order = rng.permutation(sum(self.counts))[: self.total_size][self.rank :: self.num_replicas][start:]
        position, repetition = np.concatenate(positions)[order], np.concatenate(repetitions)[order]
        epoch = self.epoch
        # A generator: a list of the keys of ten million faces would take gigabytes.
        return (FaceKey(int(p), epoch, int(r)) for p, r in zip(position, repetition, strict=True))


def _faces_per_set(lengths: Sequence[int], shares: Sequence[float], total: int) -> tuple[int, ...]:
    """Divide `total` faces among the sets in proportion to their shares, in whole numbers."""
    if len(shares) != len(lengths) or min(shares) < 0 or sum(shares) <= 0:
        raise ValueError(f"shares must be one non-negative number for each of the {len(lengths)} sets, got {shares}.")
    if any(share > 0 and not length for share, length in zip(shares, lengths, strict=True)):
        raise ValueError(f"shares {list(shares)} ask for faces of an empty set; the sets have {list(lengths)} faces.")
    ends = np.round(np.cumsum(shares) / sum(shares) * total).astype(int)
    return tuple(int(count) for count in np.diff(ends, prepend=0))
