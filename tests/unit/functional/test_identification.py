import pytest
import torch

from rim_lightning.functional.identification import first_ranks
from rim_lightning.types import NO_IDENTITY

# Gallery: two images of person 3, one of 5 and of 7, a distractor.
GALLERY = torch.tensor([3, 5, 3, 7, NO_IDENTITY])
SCORES = torch.tensor(
    [
        [0.1, 0.8, 0.9, 0.2, 0.3],  # of 3: its second image is first
        [0.6, 0.6, 0.5, 0.1, 0.0],  # of 5: ties with an image of 3, so second
        [0.9, 0.8, 0.7, 0.4, 0.6],  # of 7: four other images are above
        [0.9, 0.8, 0.7, 0.4, 0.6],  # of 9, who is not in the gallery
        [0.1, 0.2, 0.3, 0.4, 0.9],  # of an unknown person: the distractor is not its mate
    ]
)
PROBES = torch.tensor([3, 5, 7, 9, NO_IDENTITY])


def test_three_probes_by_hand():
    assert first_ranks(SCORES, PROBES, GALLERY).tolist() == [1, 2, 5]  # two probes have no person in the gallery


@pytest.mark.parametrize("seed", range(3))
def test_equals_sorting_every_row(seed):
    generator = torch.Generator().manual_seed(seed)
    gallery = torch.randint(-1, 12, (40,), generator=generator)
    probes = torch.randint(-1, 15, (60,), generator=generator)
    scores = (torch.randn(60, 40, generator=generator) * 3).round() / 3
    ranks = []
    for row, person in zip(scores.tolist(), probes.tolist(), strict=True):
        # Of equal scores, other people come first.
        order = sorted(zip(row, gallery.tolist(), strict=True), key=lambda entry: (-entry[0], entry[1] == person))
        places = [place for place, (_, other) in enumerate(order, start=1) if other == person != NO_IDENTITY]
        ranks += places[:1]
    assert first_ranks(scores, probes, gallery).tolist() == ranks


def test_a_network_that_scores_all_alike_is_never_right():
    assert first_ranks(torch.zeros(5, 5), PROBES, GALLERY).tolist() == [4, 5, 5]  # a tie counts against the probe


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"5 probes and 4 gallery images.*\(probes, gallery\)"):
        first_ranks(SCORES, PROBES, GALLERY[:4])
    with pytest.raises(ValueError, match="25 scores are NaN"):
        first_ranks(SCORES * float("nan"), PROBES, GALLERY)
    with pytest.raises(ValueError, match="None of the 2 probes"):
        first_ranks(SCORES[3:], PROBES[3:], GALLERY)
