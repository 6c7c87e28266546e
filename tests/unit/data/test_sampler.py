from collections import Counter

import numpy as np
import pytest
from torch.utils.data import BatchSampler

from rim_lightning.data.sampler import FaceSampler


def test_an_epoch_is_every_face_once_in_a_new_order_each_epoch():
    sampler = FaceSampler([5, 8], seed=3)
    first = list(sampler)
    assert sorted(position for position, _, _ in first) == list(range(13))
    assert {epoch for _, epoch, _ in first} == {0}
    sampler.set_epoch(1)
    second = list(sampler)
    assert {epoch for _, epoch, _ in second} == {1}
    assert [key.position for key in first] != [key.position for key in second]
    again = FaceSampler([5, 8], seed=3)
    assert list(again) == first
    assert list(FaceSampler([5, 8], seed=4)) != first


@pytest.mark.parametrize("shares", [None, [0.7, 0.3]])
def test_the_batches_of_two_ranks_are_those_of_one_process(shares):
    batch, epoch = 4, 2
    one = FaceSampler([30, 11], shares, seed=1)
    ranks = [FaceSampler([30, 11], shares, seed=1, rank=rank, world=2) for rank in range(2)]
    for sampler in (one, *ranks):
        sampler.set_epoch(epoch)
    whole = list(BatchSampler(one, 2 * batch, drop_last=True))
    parts = [list(BatchSampler(sampler, batch, drop_last=True)) for sampler in ranks]
    assert len(parts[0]) == len(parts[1]) == len(whole) == 5
    assert len(ranks[0]) == len(ranks[1]) == len(list(ranks[0])) == 20
    for k, together in enumerate(whole):
        assert sorted(parts[0][k] + parts[1][k]) == sorted(together)


def test_shares_are_kept_and_faces_repeat_evenly():
    sampler = FaceSampler([100, 7], [1, 3], samples_per_epoch=40, seed=0)
    drawn = np.array([key.position for key in sampler])
    assert len(sampler) == len(drawn) == 40
    assert (drawn < 100).sum() == 10
    times = Counter(drawn[drawn >= 100].tolist())
    assert set(times) == set(range(100, 107))
    assert set(times.values()) <= {4, 5}
    assert len(set(drawn[drawn < 100].tolist())) == 10


def test_no_two_draws_of_an_epoch_are_the_same():
    drawn = list(FaceSampler([100, 7], [1, 3], samples_per_epoch=40, seed=0))
    assert len(set(drawn)) == 40
    repetitions = {position: [] for position, _, _ in drawn}
    for position, _, repetition in drawn:
        repetitions[position].append(repetition)
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in repetitions.values())


def test_a_share_of_nothing_and_an_empty_set_are_fine():
    assert {p for p, _, _ in FaceSampler([4, 0, 3], [1, 0, 1])} == {0, 1, 2, 3, 4, 5, 6}
    assert {p for p, _, _ in FaceSampler([4, 0, 3])} == set(range(7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shares": [1.0]}, "one non-negative number for each"),
        ({"shares": [1.0, -1.0, 1.0]}, "one non-negative number for each"),
        ({"shares": [1.0, 1.0, 1.0]}, "empty set"),
        ({"samples_per_epoch": 10}, "needs shares"),
    ],
)
def test_wrong_shares_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FaceSampler([4, 0, 3], **arguments)
