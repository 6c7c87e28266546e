import torch

from rim_lightning.functional.pairs import sample_balanced_pairs
from rim_lightning.types import NO_IDENTITY


def test_pairs_are_balanced_of_different_images_and_of_people_disjoint_between_folds():
    identity = torch.cat([torch.arange(12).repeat_interleave(4), torch.full((5,), NO_IDENTITY)])
    first, second, folds = sample_balanced_pairs(identity, pairs=40, folds=5, seed=0)
    same = identity[first] == identity[second]
    assert len(first) == 80
    assert (first != second).all()
    assert NO_IDENTITY not in identity[torch.cat([first, second])].tolist()
    people = [set(identity[torch.cat([first[folds == f], second[folds == f]])].tolist()) for f in range(5)]
    assert sum(map(len, people)) == len(set.union(*people))
    for fold in range(5):
        assert same[folds == fold].sum() == (~same[folds == fold]).sum() == 8
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == 80  # no pair twice


def test_a_small_set_gives_fewer_pairs_and_folds():
    first, _, folds = sample_balanced_pairs(torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]), pairs=1000, folds=10, seed=0)
    assert folds.unique().tolist() == [0, 1]  # two people each: 4 genuine pairs, both orders counted
    assert len(first) == 2 * 2 * 4
