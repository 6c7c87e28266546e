"""Verification pairs: their names or positions, and how pairs are sampled and dealt to folds."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PairIndex(NamedTuple):
    """P comparisons of images of one data set, by position: the `index` of their `FaceBatch`.

    Attributes:
        gallery: (P,) int64, positions of the gallery images.
        probe: (P,) int64, positions of the probe images.
        same: (P,) bool, True for a genuine pair and False for an impostor pair.
        fold: (P,) int64, fold of the cross-validation, from 0.
    """

    gallery: NDArray[np.int64]
    probe: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


class Pair(NamedTuple):
    """One comparison of the verification protocol.

    Attributes:
        gallery: Name of the first image, in LFW `<person>/<person>_<number>.jpg`.
        probe: Name of the second image.
        same: True if both images show the same person.
        fold: Fold of the cross-validation, from 0.
    """

    gallery: str
    probe: str
    same: bool
    fold: int


def sample_random_pairs(
    identities: Sequence[str | None], names: Sequence[str], genuine: int, impostor: int, seed: int, folds: int = 10
) -> list[Pair]:
    """Sample pairs of different images, each at most once and uniformly over all pairs of its kind, as the paper does.

    Pairs are dealt to the folds in turn. Unlike in `rim_lightning.functional.pairs.sample_balanced_pairs`, A PERSON MAY
    BE IN SEVERAL FOLDS, and people with many images dominate the genuine pairs. Which image of a pair is the probe is
    random too. The result depends on the seed and the set of images, not on their order.

    Args:
        identities: Person of every image; an image of None is in no pair.
        names: Name of every image, unique.
        genuine: Number of genuine pairs; 1,500 in the paper.
        impostor: Number of impostor pairs; 1,500 in the paper.
        seed: Seed of the sampling.
        folds: Number of folds.

    Returns:
        The genuine pairs, then the impostor pairs.

    Raises:
        ValueError: If there are fewer pairs of a kind than requested, or not as many names as identities.
    """
    images = sorted((person, name) for person, name in zip(identities, names, strict=True) if person is not None)
    people = [person for person, _ in images]
    next_person = [bisect_right(people, person) for person in people]  # where the images of the next person begin
    # An image pairs with later ones only: its own person's before `next_person`, other people's from there on.
    own_partners = [end - position - 1 for position, end in enumerate(next_person)]
    other_partners = [len(images) - end for end in next_person]
    generator = random.Random(seed)
    pairs = []
    for same, count, partners in ((True, genuine, own_partners), (False, impostor, other_partners)):
        pairs_before = list(accumulate(partners))  # running number of pairs, up to and including each first image
        available = pairs_before[-1] if pairs_before else 0
        if count > available:
            kind = "genuine" if same else "impostor"
            raise ValueError(f"{count} {kind} pairs are requested, but the {len(images)} images form {available}.")
        for turn, number in enumerate(generator.sample(range(available), count)):
            first = bisect_right(pairs_before, number)
            start = first + 1 if same else next_person[first]
            second = start + number - (pairs_before[first] - partners[first])
            gallery, probe = generator.sample((images[first][1], images[second][1]), 2)
            pairs.append(Pair(gallery, probe, same, turn % folds))
    return pairs


def pseudo_genuine_pairs(photographs: int, folds: int, seed: int) -> PairIndex:
    """Compare each of n photographs with its own mirror image, and with the mirror image of another of its fold.

    Args:
        photographs: Number n of photographs. Photograph i has position i, its mirror image position n + i.
        folds: Number of folds of the cross-validation.
        seed: Seed that chooses the other photograph.

    Returns:
        n pseudo-genuine pairs, then n impostor pairs.

    Raises:
        ValueError: If a fold would hold fewer than two photographs.
    """
    if photographs < 2 * folds:
        raise ValueError(f"{photographs} test photographs are too few for {folds} folds: each needs at least two.")
    gallery = np.arange(photographs)
    fold = gallery % folds
    other = np.empty_like(gallery)
    rng = np.random.default_rng(seed)
    for number in range(folds):
        members = rng.permutation(gallery[fold == number])
        other[members] = np.roll(members, 1)
    return PairIndex(
        gallery=np.tile(gallery, 2),
        probe=np.concatenate([gallery, other]) + photographs,
        same=np.repeat([True, False], photographs),
        fold=np.tile(fold, 2),
    )


def index_pairs(pairs: Sequence[tuple[str, str, bool, int]]) -> tuple[list[str], PairIndex]:
    """Replace names by positions.

    Args:
        pairs: Pairs of names, as `Pair` or (gallery, probe, same, fold).

    Returns:
        Sorted names of all images in the pairs, and the pairs as positions among these names.
    """
    names = sorted({name for gallery, probe, _, _ in pairs for name in (gallery, probe)})
    position = {name: number for number, name in enumerate(names)}
    return names, PairIndex(
        np.array([position[gallery] for gallery, _, _, _ in pairs], dtype=np.int64),
        np.array([position[probe] for _, probe, _, _ in pairs], dtype=np.int64),
        np.array([same for _, _, same, _ in pairs], dtype=bool),
        np.array([fold for _, _, _, fold in pairs], dtype=np.int64),
    )
