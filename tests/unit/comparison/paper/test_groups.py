"""Error rates of groups of people, by hand and by simulation."""

import pytest
import torch

from rim_lightning.comparison.laboratory.all_pairs import AllPairs
from rim_lightning.comparison.laboratory.readings import TEACHER
from rim_lightning.comparison.paper.groups import CHANCE, COLUMNS, RATIO, _ratio, group_rows, rates_of_groups
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.functional.seeded_probes import CLEAN
from tests.helpers.laboratory import PAIRS

READING = SWEEP[0][1]


class Scored:
    """A laboratory that knows all similarities."""

    def __init__(self, scores, gallery, probe):
        self.every = AllPairs(scores, gallery, probe, torch.zeros_like(scores, dtype=torch.bool))

    def all_pairs(self, reading, people, size, kind):
        if reading.system != TEACHER:
            raise NotTrained(Run("key", None, (), reading.system, ()))
        return self.every


def people_of(count):
    return PAIRS._replace(people=[f"person {number}" for number in range(count)])


def four_people():
    """Two groups of two; a fifth person has none. The impostor scores are 0.01 … 0.20, but that of 0 and 1 is 0.9."""
    scores = torch.zeros(5, 5)
    off = ~torch.eye(5, dtype=torch.bool)
    scores[off] = torch.arange(1, 21) / 100
    scores[0, 1] = 0.9
    scores.fill_diagonal_(0.5)
    scores[3, 3] = 0.0
    groups = {"person 0": "a", "person 1": "a", "person 2": "b", "person 3": "b", "somebody else": "b"}
    return Scored(scores, torch.arange(5), torch.arange(5)), groups


def test_rates_by_hand():
    laboratory, groups = four_people()
    (found,) = rates_of_groups(laboratory, READING, people_of(5), groups, 8, CLEAN, [0.5]).values()
    # Ten of the twenty impostor pairs may pass: that of 0 and 1, and the nine from 0.12 to 0.20.
    assert found.groups == ["a", "b"]
    assert found.people == [2, 2]
    expected = [laboratory.every.scores[[0, 1], [1, 0]], laboratory.every.scores[[2, 3], [3, 2]]]
    assert found.rates[0].tolist() == [(scores > 0.115).double().mean().item() for scores in expected]
    assert found.rates[1].tolist() == [0, 0.5]
    assert found.resampled.shape == (2, 2, 400)
    # By lot: every group of two of the four people is as likely.
    assert 0 < found.by_lot[1].mean() < 0.5
    assert set(found.by_lot[1].flatten().tolist()) == {0, 0.5}


def test_a_rate_that_too_few_pairs_decide_is_left_out():
    laboratory, groups = four_people()
    assert rates_of_groups(laboratory, READING, people_of(5), groups, 8, CLEAN, [0.01]) == {}


def test_groups_without_pairs_of_both_kinds_are_refused():
    laboratory, _ = four_people()
    alone = {"person 0": "a", "person 2": "b", "person 3": "b"}
    with pytest.raises(ValueError, match="fewer than two groups have pairs"):
        rates_of_groups(laboratory, READING, people_of(5), alone, 8, CLEAN, [0.5])


def group_scores(lift, seed):
    """Sixty people with three pictures; those of the second half are more alike each other by `lift`."""
    random = torch.Generator().manual_seed(seed)
    person = torch.arange(60).repeat_interleave(3)
    second = person >= 30
    scores = torch.randn(180, 180, generator=random) + 3.0 * (person[:, None] == person)
    return Scored(scores + lift * (second[:, None] & second), person, person)


def test_a_difference_stands_out_of_what_is_dealt_by_lot():
    groups = {f"person {number}": "ab"[number >= 30] for number in range(60)}
    for lift, least, most in ((0.0, 0, 2), (0.7, 9, 10)):
        apart = 0
        for seed in range(10):
            laboratory = group_scores(lift, seed)
            (found,) = rates_of_groups(laboratory, READING, people_of(60), groups, 8, CLEAN, [0.01]).values()
            by_lot = (found.by_lot[0].amax(0) / found.by_lot[0].amin(0)).quantile(0.975)
            apart += bool(found.rates[0].max() / found.rates[0].min() > by_lot)
        assert least <= apart <= most


def test_rows_of_the_table():
    laboratory, groups = four_people()
    rows = group_rows(laboratory, "people", people_of(5), groups, {CLEAN: [8]}, [0.5])
    measured = [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[0] == SWEEP[0][0]]
    assert [row["group"] for row in measured] == ["a", "b", RATIO, CHANCE]
    assert [row["number of people"] for row in measured[:2]] == ["2", "2"]
    assert measured[1]["FNMR (95 %)"].startswith("0.5 (0 … 1")
    assert measured[2]["FNMR (95 %)"].startswith("∞ (")
    others = [row for row in rows if row[0] != SWEEP[0][0]]
    assert len(others) == len(SWEEP) - 1
    assert all("not yet run" in row for row in others)


def test_no_ratio_lies_between_a_number_and_an_endless_one():
    """Of 400 resamples 390 have the ratio 2, and ten have none: the 97.5 % quantile lies a 40th of the way between."""
    resampled = torch.tensor([2.0, 1.0]).repeat(400, 1).T.clone()
    resampled[1, 390:] = 0
    assert _ratio(torch.tensor([2.0, 1.0]), resampled) == "2.00 (2.00 … 2.00)"
    resampled[1, 389:] = 0
    assert _ratio(None, resampled) == "2.00 (2.00 … ∞)"
