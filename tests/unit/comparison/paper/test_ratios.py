"""The table of likelihood ratios, by hand."""

import torch

from rim_lightning.comparison.laboratory.laboratory import RatioQuality
from rim_lightning.comparison.paper.ratios import ratio_table
from rim_lightning.comparison.paper.rows import TRICKS
from rim_lightning.comparison.paper.tricks import AHEAD_OF_BEST
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.functional.bootstrap import SeedFigures
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind
from tests.helpers.laboratory import PAIRS, KnownFigures, as_dicts

CAMERA = ProbeKind("camera", "detector")
COSTS = {"teacher": 0.875, "distillation": 0.75, "distillation_more": 0.5, "rim": 0.375}


class Costs(KnownFigures):
    """Every resample of people is off by the same for all systems; at 16 px the pairs of a camera are unknown."""

    def likelihood_ratios(self, reading, pairs, calibration, size, kind):
        assert calibration == "known people"
        if reading.system not in COSTS:
            raise NotTrained(Run("key", None, (), reading.system, ()))
        if size == 16 and kind == CAMERA:
            return None
        cost = COSTS[reading.system]
        resampled = (cost + torch.tensor([[-0.125, 0.125]]).repeat(1, 50)).double()
        return RatioQuality(SeedFigures(torch.tensor([cost]), resampled), cost - 0.125)


def test_rim_is_compared_with_the_cheapest_control():
    table = ratio_table(Costs(), {"people": PAIRS}, "known people", {CLEAN: [8, 16], CAMERA: [16]})
    assert len(table.rows) == 2 * (len(TRICKS) + 1)
    rows = {(row["system"], row["probe made by"]): row for row in as_dicts(table)}
    eight, sixteen = "8 px: Cllr (95 %), least", "16 px: Cllr (95 %), least"
    assert rows["RIM", "bicubic"][eight] == "0.375 (0.250 … 0.500), 0.250"
    assert rows["distillation, same tricks, twins", "bicubic"][eight] == "not yet run"
    expected = "-0.125 (-0.125 … -0.125), against distillation, same tricks"
    assert rows[AHEAD_OF_BEST, "bicubic"][eight] == rows[AHEAD_OF_BEST, "bicubic"][sixteen] == expected
    moved = CAMERA.in_words()
    assert rows["RIM", moved][eight] == ""
    assert rows["RIM", moved][sixteen] == "not measurable"
    assert rows[AHEAD_OF_BEST, moved][sixteen] == ""
