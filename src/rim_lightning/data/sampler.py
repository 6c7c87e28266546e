"""Which faces an epoch consists of, in which order, and which rank sees them."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DistributedSampler


class FaceSampler(DistributedSampler):
    """Yields (position, epoch) over a union of sets; a pure function of (seed, epoch), the same on every rank.

    Rank r of W takes every W-th draw from r on, so that the k-th batches of all ranks together are the k-th batch one
    process would have at W times the batch size. All ranks draw equally often; a remainder is dropped.

    The next `__iter__`, and no later one, leaves out this rank's first `start` draws: there an interrupted run goes on.

    It is a `DistributedSampler` because Lightning replaces every other sampler under DDP; rank and world are given.

    Args:
        lengths: number of faces of each set, in the order of the union.
        shares: share of each set in an epoch, in the same order, any positive scale; None takes every face once. A set
            asked for more often than it has faces is repeated, each face equally often within one.
        samples_per_epoch: draws of an epoch over all ranks; with `shares` only. None: the size of the union.
        seed: another seed, another order.
        rank, world: this process and their number.

    Raises:
        ValueError: shares do not match the sets, are negative or ask for an empty set; or samples_per_epoch comes
            without them.
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
        super().__init__(range(sum(lengths)), num_replicas=world, rank=rank, seed=seed, drop_last=True)
        if shares is None:
            if samples_per_epoch is not None:
                raise ValueError("samples_per_epoch needs shares: without them an epoch is every face once.")
            self.draws = tuple(lengths)
        else:
            self.draws = _whole_draws(lengths, shares, samples_per_epoch or sum(lengths))
        self.lengths = tuple(lengths)
        self.num_samples = sum(self.draws) // world
        self.total_size = self.num_samples * world
        self.start = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.start = self.start, 0
        rng = np.random.default_rng((self.seed, self.epoch))
        starts = np.cumsum((0, *self.lengths))
        parts = [
            start + np.concatenate([rng.permutation(length) for _ in range(-(-draws // length))])[:draws]
            for start, length, draws in zip(starts, self.lengths, self.draws, strict=False)
            if draws
        ]
        order = rng.permutation(np.concatenate(parts))[: self.total_size] if parts else np.zeros(0, np.int64)
        epoch = self.epoch
        # A generator: a list of the pairs of ten million faces would take gigabytes.
        return ((int(position), epoch) for position in order[self.rank :: self.num_replicas][start:])


def _whole_draws(lengths: Sequence[int], shares: Sequence[float], total: int) -> tuple[int, ...]:
    """Whole numbers of draws from each set, in proportion to the shares, with sum `total`."""
    if len(shares) != len(lengths) or min(shares) < 0 or sum(shares) <= 0:
        raise ValueError(f"shares must be one non-negative number for each of the {len(lengths)} sets, got {shares}.")
    if any(share > 0 and not length for share, length in zip(shares, lengths, strict=True)):
        raise ValueError(f"shares {list(shares)} ask for faces of an empty set; the sets have {list(lengths)} faces.")
    ends = np.round(np.cumsum(shares) / sum(shares) * total).astype(int)
    return tuple(int(draws) for draws in np.diff(ends, prepend=0))
