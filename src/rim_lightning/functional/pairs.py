"""Sampling of verification pairs from a labeled set of faces."""

import torch
from torch import Tensor

from rim_lightning.types import NO_IDENTITY


def sample_balanced_pairs(identity: Tensor, pairs: int, folds: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sample as many genuine as impostor pairs of different images. No person is in two folds.

    Memory is quadratic in the number of faces of one fold.

    Args:
        identity: Person of each face, (N,) int64 on the CPU. Faces with `NO_IDENTITY` are not paired.
        pairs: Number of genuine pairs over all folds, and of impostor pairs. A fold that allows fewer of one kind
            contributes fewer of both.
        folds: Number of folds. At most half as many as there are people are used.
        seed: Seed of the random numbers.

    Returns:
        Three (P,) int64 tensors: the position of the first face in `identity`, that of the second, and the fold.
    """
    generator = torch.Generator().manual_seed(seed)
    people = identity[identity != NO_IDENTITY].unique()
    people = people[torch.randperm(len(people), generator=generator)]
    folds = min(folds, len(people) // 2)
    columns = [torch.zeros(3, 0, dtype=torch.long)]  # first, second, fold
    for fold in range(folds):
        members = torch.isin(identity, people[fold::folds]).nonzero().squeeze(1)
        same = identity[members][:, None] == identity[members][None, :]
        genuine = (same & ~torch.eye(len(members), dtype=torch.bool)).nonzero()
        impostor = (~same).nonzero()
        quota = pairs // folds + (fold < pairs % folds)
        count = min(quota, len(genuine), len(impostor))
        for candidates in (genuine, impostor):
            chosen = candidates[torch.randperm(len(candidates), generator=generator)[:count]]
            columns.append(torch.stack([*members[chosen].T, torch.full((count,), fold)]))
    first, second, fold_of = torch.cat(columns, dim=1)
    return first, second, fold_of
