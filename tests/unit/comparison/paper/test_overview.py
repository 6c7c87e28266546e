"""Cells of table 2 by hand: a missing set, and with which RIM a row is compared."""

from typing import ClassVar

from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.overview import overview_table
from rim_lightning.comparison.paper.rows import RIM, RIM_FROM_SCRATCH, TABLE_2, Row
from tests.helpers.laboratory import PAIRS, RIGHT, WRONG, KnownFigures, as_dicts


def test_a_set_that_is_not_there_says_so():
    rows = [Row("teacher", Reading(TEACHER), {"CALFW": ".781"}), Row("RIM", RIM)]
    teacher, rim = as_dicts(overview_table(rows, KnownFigures(), {"LFW": PAIRS, "CALFW": None}))
    assert teacher["CALFW (95 %)"] == rim["CALFW (95 %)"] == "no data"
    assert teacher["CALFW quoted"] == ".781"
    assert teacher["LFW: RIM ahead by"].startswith("+0.5000")


def test_a_row_from_scratch_is_compared_with_the_rim_from_scratch():
    class Both(KnownFigures):
        scores: ClassVar[dict] = {RIM: RIGHT, RIM_FROM_SCRATCH: WRONG, Reading("arcface"): RIGHT}

    rows = [Row("RIM", RIM), Row("a", Reading("arcface")), Row("b", Reading("arcface"), rim=RIM_FROM_SCRATCH)]
    rows.append(Row("RIM from scratch", RIM_FROM_SCRATCH, rim=RIM_FROM_SCRATCH))
    cells = [row["LFW: RIM ahead by"] for row in as_dicts(overview_table(rows, Both(), {"LFW": PAIRS}))]
    assert cells[0] == cells[3] == ""
    assert cells[1].startswith("+0.0000")
    assert cells[2].startswith("-0.5000")
    scratch = [row for row in TABLE_2 if "from scratch" in row.label]
    assert len(scratch) == 10
    assert all(row.rim == RIM_FROM_SCRATCH for row in scratch)
