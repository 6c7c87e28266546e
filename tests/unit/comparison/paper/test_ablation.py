"""Cells of tables 1 and 3 by hand: known figures, a missing system, the difference to RIM."""

import pytest
import torch

from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.ablation import COLUMNS, ablation_rows, all_pairs_cells, sharp_reading
from rim_lightning.comparison.paper.cells import COST_COLUMNS
from rim_lightning.comparison.paper.rows import RIM, Row
from rim_lightning.comparison.paper.write import Table
from rim_lightning.functional.bootstrap import SeedFigures
from tests.helpers.laboratory import PAIRS, KnownFigures, as_dicts


def test_ablation_rows():
    rows = [
        Row("teacher", Reading(TEACHER), {"HR-LR": ".843"}),
        Row("sharp", Reading(TEACHER, probe="gallery", sharp=True), {"HR-HR": ".998"}),
        Row("RIM", RIM),
        Row("student", Reading("vanilla_student")),
    ]
    teacher, sharp, rim, student = as_dicts(
        Table("Table", list(COLUMNS), ablation_rows(rows, KnownFigures(), PAIRS, 64))
    )
    everyone, ahead = "all pairs: TAR@FAR 1e-3 (95 %)", "all pairs: RIM ahead by"
    # Two seeds, 0.4 and 0.6, in resamples 0.1 to either side: variances 0.01 and 0.0101, 4.04 degrees of freedom.
    assert rim[everyone] == "0.500 (0.108 … 0.892)"
    assert rim[ahead] == ""
    assert teacher[everyone] == "0.150 (0.100 … 0.200)"
    # The teacher has one seed: variances 0.01 of RIM's seeds and 0.0025 of the resamples, 1.57 degrees of freedom.
    assert teacher[ahead] == "+0.350 (-0.298 … +0.998), not different"
    assert sharp[everyone] == "failed: no luck"
    assert sharp[ahead] == ""
    assert rim["HR-LR (95 %)"].startswith("1.0000")
    assert rim["RIM ahead by"] == ""
    # Fold 2 gives fold 1 a threshold of 0.5: 2 of 4 right. Fold 1 tells nothing, so fold 2 gets its lowest: 2 of 4.
    assert teacher["HR-LR (95 %)"].startswith("0.5000")
    assert teacher["RIM ahead by"].startswith("+0.5000 (")
    assert teacher["quoted HR-LR"] == ".843"
    assert teacher["HR-HR"] == "1.0000"
    assert teacher["TAR@FAR 1e-2"] == "not measurable"  # 4 impostor pairs decide nothing at 1e-2
    assert [teacher[name] for name in COST_COLUMNS] == ["", "", "2.50", "1.25", "40"]
    assert rim["thousand training faces"] == "12.3"
    assert rim["training TFLOP"] == "123"
    assert sharp["HR-LR (95 %)"] == ""
    assert sharp["HR-HR"] == "1.0000"
    assert sharp["quoted HR-HR"] == ".998"
    assert student["HR-LR (95 %)"] == "not yet run"


def test_seed_i_is_compared_with_seed_i_of_the_same_people():
    resampled = torch.rand(3, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rim = SeedFigures(resampled.mean(1), resampled)
    less = SeedFigures(rim.figures - 0.125, resampled - 0.125)
    assert all_pairs_cells(less, rim)[1] == "+0.125 (+0.125 … +0.125)"
    other = SeedFigures(rim.figures, resampled.flip(1))
    assert all_pairs_cells(other, rim)[1].endswith(", not different")


@pytest.mark.parametrize("low_gallery", [False, True])
def test_sharp_rows_are_read_by_what_reads_the_gallery(low_gallery):
    assert sharp_reading(RIM) == Reading(TEACHER, probe="gallery", sharp=True)
    assert sharp_reading(Reading("staged_cnn", low_gallery=low_gallery)).system == "staged_cnn"
