"""Pairs of verification: random, pseudo-genuine, and by position."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from rim_lightning.data.pairs import Pair, index_pairs, pseudo_genuine_pairs, sample_random_pairs

IDENTITIES = ["d", "a", "b", None, "a", "c", "a", "b", "d", "d"]
NAMES = [f"{person}{number}" for number, person in enumerate(IDENTITIES)]
WITH_PERSON = [(p, n) for p, n in zip(IDENTITIES, NAMES, strict=True) if p is not None]
GENUINE = {frozenset((n, m)) for (p, n), (q, m) in combinations(WITH_PERSON, 2) if p == q}  # 3 + 1 + 3
IMPOSTOR = {frozenset((n, m)) for (p, n), (q, m) in combinations(WITH_PERSON, 2) if p != q}  # 36 - 7


def test_sampling_all_pairs_gives_each_once():
    pairs = sample_random_pairs(IDENTITIES, NAMES, 7, 29, seed=0, folds=3)
    assert [pair.same for pair in pairs] == [True] * 7 + [False] * 29
    assert Counter(frozenset(pair[:2]) for pair in pairs[:7]) == Counter(GENUINE)
    assert Counter(frozenset(pair[:2]) for pair in pairs[7:]) == Counter(IMPOSTOR)
    assert Counter(pair.fold for pair in pairs[:7]) == {0: 3, 1: 2, 2: 2}


def test_sampling_is_uniform_with_either_image_as_probe():
    counts = Counter(pair[:2] for seed in range(3000) for pair in sample_random_pairs(IDENTITIES, NAMES, 1, 1, seed))
    assert len(counts) == 2 * (7 + 29)
    for kind in (GENUINE, IMPOSTOR):
        expected = 3000 / (2 * len(kind))
        assert all(
            abs(count - expected) < 5 * expected**0.5 for pair, count in counts.items() if frozenset(pair) in kind
        )


def test_sampling_depends_on_seed_and_images_alone():
    pairs = sample_random_pairs(IDENTITIES, NAMES, 4, 9, seed=1)
    assert sample_random_pairs(IDENTITIES[::-1], NAMES[::-1], 4, 9, seed=1) == pairs
    assert sample_random_pairs(IDENTITIES, NAMES, 4, 9, seed=2) != pairs


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="8 genuine pairs are requested, but the 9 images form 7"):
        sample_random_pairs(IDENTITIES, NAMES, 8, 1, seed=0)
    with pytest.raises(ValueError, match="30 impostor pairs are requested, but the 9 images form 29"):
        sample_random_pairs(IDENTITIES, NAMES, 1, 30, seed=0)
    with pytest.raises(ValueError, match="1 genuine pairs are requested, but the 0 images"):
        sample_random_pairs([None], ["x"], 1, 0, seed=0)
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        sample_random_pairs(IDENTITIES, NAMES[1:], 1, 1, seed=0)


def test_every_photograph_meets_its_mirror_image_and_one_other_of_its_fold():
    pairs = pseudo_genuine_pairs(25, folds=5, seed=0)
    genuine, impostor = pairs.same, ~pairs.same
    assert genuine.sum() == impostor.sum() == 25
    np.testing.assert_array_equal(pairs.probe[genuine], pairs.gallery[genuine] + 25)
    assert (pairs.probe[impostor] != pairs.gallery[impostor] + 25).all()
    assert sorted(pairs.probe[impostor]) == list(range(25, 50))
    np.testing.assert_array_equal((pairs.probe - 25) % 5, pairs.fold)
    np.testing.assert_array_equal(pairs.gallery % 5, pairs.fold)
    with pytest.raises(ValueError, match="too few for 5 folds"):
        pseudo_genuine_pairs(9, folds=5, seed=0)


def test_names_become_positions():
    pairs = [Pair("b", "a", True, 0), Pair("b", "c", False, 1)]
    names, index = index_pairs(pairs)
    assert names == ["a", "b", "c"]
    assert [column.tolist() for column in index] == [[1, 1], [0, 2], [True, False], [0, 1]]
    assert [column.dtype for column in index] == [np.int64, np.int64, bool, np.int64]
