import pytest
import torch

from rim_lightning.functional.identification import cmc
from rim_lightning.types import NO_IDENTITY

# Gallery: two images of person 3, one of 5 and of 7, a distractor.
GALLERY = torch.tensor([3, 5, 3, 7, NO_IDENTITY])
SCORES = torch.tensor(
    [
        [0.1, 0.8, 0.9, 0.2, 0.3],  # of 3: its second image is first
        [0.6, 0.6, 0.5, 0.1, 0.0],  # of 5: ties with an image of 3, so second
        [0.9, 0.8, 0.7, 0.4, 0.6],  # of 7: four other images are above
        [0.9, 0.8, 0.7, 0.4, 0.6],  # of 9, who is not in the gallery
        [0.1, 0.2, 0.3, 0.4, 0.9],  # of nobody known: the distractor is not its mate
    ]
)
PROBES = torch.tensor([3, 5, 7, 9, NO_IDENTITY])


def test_three_probes_by_hand():
    rates, left_out = cmc(SCORES, PROBES, GALLERY, [1, 2, 4, 5, 20])
    assert rates.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1, 1])
    assert left_out == 2


@pytest.mark.parametrize("seed", range(3))
def test_equals_sorting_every_row(seed):
    generator = torch.Generator().manual_seed(seed)
    gallery = torch.randint(-1, 12, (40,), generator=generator)
    probes = torch.randint(-1, 15, (60,), generator=generator)
    scores = (torch.randn(60, 40, generator=generator) * 3).round() / 3
    ranks, left_out = [], 0
    for row, person in zip(scores.tolist(), probes.tolist(), strict=True):
        # Of equal scores, other people come first.
        order = sorted(zip(row, gallery.tolist(), strict=True), key=lambda entry: (-entry[0], entry[1] == person))
        found = [place for place, (_, other) in enumerate(order, start=1) if other == person != NO_IDENTITY]
        ranks += found[:1]
        left_out += not found
    rates, number = cmc(scores, probes, gallery, [5, 1, 40])
    assert number == left_out
    assert rates.tolist() == pytest.approx([sum(rank <= r for rank in ranks) / len(ranks) for r in (5, 1, 40)])
    assert rates[2] == 1


def test_a_network_that_scores_all_alike_is_never_right():
    rates, _ = cmc(torch.zeros(5, 5), PROBES, GALLERY, [1, 3])
    assert rates.tolist() == [0, 0]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"5 probes and 4 gallery images.*\(probes, gallery\)"):
        cmc(SCORES, PROBES, GALLERY[:4], [1])
    with pytest.raises(ValueError, match="25 scores are NaN"):
        cmc(SCORES * float("nan"), PROBES, GALLERY, [1])
    with pytest.raises(ValueError, match="from 1, got 0"):
        cmc(SCORES, PROBES, GALLERY, [0, 1])
    with pytest.raises(ValueError, match="None of the 2 probes"):
        cmc(SCORES[3:], PROBES[3:], GALLERY, [1])
