"""rim_lightning.functional.pairs."""

import torch
from torch import Tensor

from rim_lightning.types import NO_IDENTITY


def sample_pairs(identity: Tensor, pairs: int, folds: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Balanced genuine and impostor pairs of different images, people disjoint between folds.

    Memory is quadratic in the faces of one fold.

    Args:
        identity: (N,) int64 on the CPU, `NO_IDENTITY` is not paired.
        pairs: genuine pairs, and impostor pairs, over all folds; a fold with fewer of either brings fewer of both.
        folds: number of folds, at most half the number of people is used.
        seed: of the draw.

    Returns:
        first, second, fold: (P,) int64 each, positions in `identity` and the pair's fold.
    """
    generator = torch.Generator().manual_seed(seed)
    people = identity[identity != NO_IDENTITY].unique()
    people = people[torch.randperm(len(people), generator=generator)]
    folds = min(folds, len(people) // 2)
    drawn = [torch.zeros(3, 0, dtype=torch.long)]
    for fold in range(folds):
        members = torch.isin(identity, people[fold::folds]).nonzero().squeeze(1)
        same = identity[members][:, None] == identity[members][None, :]
        genuine = (same & ~torch.eye(len(members), dtype=torch.bool)).nonzero()
        impostor = (~same).nonzero()
        quota = pairs // folds + (fold < pairs % folds)
        count = min(quota, len(genuine), len(impostor))
        for candidates in (genuine, impostor):
            chosen = candidates[torch.randperm(len(candidates), generator=generator)[:count]]
            drawn.append(torch.stack([*members[chosen].T, torch.full((count,), fold)]))
    first, second, fold_of = torch.cat(drawn, dim=1)
    return first, second, fold_of
