"""rim_lightning.data.pairs."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np


class PairIndex(NamedTuple):
    """P comparisons by position: of the images of one data set, the `index` of their `FaceBatch`.

    Attributes:
        gallery, probe: (P,) int64 positions.
        same: (P,) bool, genuine or impostor.
        fold: (P,) int64 fold of the cross-validation, from 0.
    """

    gallery: np.ndarray
    probe: np.ndarray
    same: np.ndarray
    fold: np.ndarray


class Pair(NamedTuple):
    """One comparison of the verification protocol.

    Attributes:
        gallery: name of the first image, `<person>/<person>_<number>.jpg`.
        probe: name of the second image.
        same: whether both show the same person.
        fold: fold of the cross-validation, from 0.
    """

    gallery: str
    probe: str
    same: bool
    fold: int


def sample_random_pairs(
    identities: Sequence[str | None], names: Sequence[str], genuine: int, impostor: int, seed: int, folds: int = 10
) -> list[Pair]:
    """Random pairs of different images, each drawn once and uniformly over all of its kind: 1,500 + 1,500 in the paper.

    Pairs are dealt to the folds in turn. Unlike `rim_lightning.functional.pairs.sample_pairs`, a PERSON MAY BE IN
    SEVERAL FOLDS, and people with many images dominate the genuine pairs, as in the paper's draw. Which image of a
    pair is the probe is drawn, too. The draw depends on the seed and the set of images, not on their order.

    Args:
        identities: person of every image; None is not paired.
        names: name of every image, unique.
        genuine, impostor: how many pairs of either kind.
        seed: of the draw.
        folds: number of folds.

    Returns:
        the genuine pairs, then the impostor pairs.

    Raises:
        ValueError: if there are fewer pairs of a kind than asked for, or not as many names as identities.
    """
    images = sorted((person, name) for person, name in zip(identities, names, strict=True) if person is not None)
    people = [person for person, _ in images]
    after = [bisect_right(people, person) for person in people]  # where the images of the next person begin
    # An image pairs with later ones only: its own person's as far as `after`, other people's from there on.
    own_partners = [end - place - 1 for place, end in enumerate(after)]
    other_partners = [len(images) - end for end in after]
    generator = random.Random(seed)
    pairs = []
    for same, wanted, partners in ((True, genuine, own_partners), (False, impostor, other_partners)):
        until = list(accumulate(partners))
        available = until[-1] if until else 0
        if wanted > available:
            kind = "genuine" if same else "impostor"
            raise ValueError(f"{wanted} {kind} pairs are asked for, but the {len(images)} images form {available}.")
        for turn, number in enumerate(generator.sample(range(available), wanted)):
            first = bisect_right(until, number)
            start = first + 1 if same else after[first]
            second = start + number - (until[first] - partners[first])
            gallery, probe = generator.sample((images[first][1], images[second][1]), 2)
            pairs.append(Pair(gallery, probe, same, turn % folds))
    return pairs


def pseudo_genuine_pairs(photographs: int, folds: int, seed: int) -> PairIndex:
    """Each of n photographs against its own mirror image, position n + i, and against that of another of its fold.

    Raises ValueError where a fold would hold less than two photographs.
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
    """Sorted names of the images in (gallery, probe, same, fold) pairs, and the pairs as positions among them."""
    names = sorted({name for gallery, probe, _, _ in pairs for name in (gallery, probe)})
    position = {name: number for number, name in enumerate(names)}
    return names, PairIndex(
        np.array([position[gallery] for gallery, _, _, _ in pairs], dtype=np.int64),
        np.array([position[probe] for _, probe, _, _ in pairs], dtype=np.int64),
        np.array([same for _, _, same, _ in pairs], dtype=bool),
        np.array([fold for _, _, _, fold in pairs], dtype=np.int64),
    )
