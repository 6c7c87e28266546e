"""The table of identification: ranks and open-set rates by hand."""

import torch

from rim_lightning.comparison.laboratory.readings import TEACHER
from rim_lightning.comparison.paper.identification import identification_table
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.evaluation.protocols import SearchSet
from tests.helpers.laboratory import KnownFigures, as_dicts

PEOPLE = SearchSet(
    "people",
    None,
    gallery=torch.arange(4),
    probe=torch.arange(4, 8),
    identity=torch.tensor([7, 5, 9, 3] * 2),
    native=False,
)
SCORES = torch.tensor(
    [
        [0.9, 0.1, 0.2, 0.3],  # of person 7
        [0.2, 0.3, 0.6, 0.1],  # of person 5, who looks like 9
        [0.2, 0.1, 0.8, 0.4],
        [0.1, 0.2, 0.1, 0.5],
    ]
)


class Searched(KnownFigures):
    """The teacher alone has searched."""

    def search(self, reading, people, size):
        if reading.system != TEACHER:
            raise NotTrained(Run("key", None, (), reading.system, ()))
        return SCORES


def row_of(people):
    (row, *others) = as_dicts(identification_table(Searched(), {"people": people, "nobody": None}, [1, 2]))
    assert all(other["people: rank 1 (95 %)"] == "not yet run" for other in others)
    assert row["nobody: rank 1 (95 %)"] == "no data"
    return row


def test_ranks_and_open_set_rates():
    row = row_of(PEOPLE)
    assert row["people: rank 1 (95 %)"].startswith("0.7500 (")
    assert row["people: rank 2"] == "1.0000"
    # Strangers have 0.3, 0.6, 0.4 and 0.2 at most, and none of the four may pass: 0.3 and 0.5 of the right people fail.
    assert row["people: FNIR at FPIR 0.1 (95 %)"].startswith("0.500 (")
    assert row["people: FNIR at FPIR 0.01 (95 %)"].startswith("0.500 (")


def test_two_images_of_a_person_in_the_gallery_have_no_open_set_rate():
    twice = PEOPLE._replace(identity=torch.tensor([7, 5, 9, 9, 7, 5, 9, 9]))
    assert row_of(twice)["people: FNIR at FPIR 0.1 (95 %)"] == ""
