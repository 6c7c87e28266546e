"""Cells by hand: what a row says of known figures, of a system that is not trained and of a set that is not there."""

import csv
from typing import ClassVar

import pytest
import torch

from rim_lightning.comparison.laboratory.all_pairs import AllPairsTar
from rim_lightning.comparison.laboratory.laboratory import Verified
from rim_lightning.comparison.laboratory.quality import Quality
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.ablation import COLUMNS, ablation_rows, all_pairs_cells, sharp_reading
from rim_lightning.comparison.paper.cells import COST_COLUMNS, ahead_cell
from rim_lightning.comparison.paper.hallucination import hallucination_table
from rim_lightning.comparison.paper.overview import overview_table
from rim_lightning.comparison.paper.rows import RIM, RIM_FROM_SCRATCH, TABLE_1, TABLE_2, TABLE_3, TABLE_4, Row
from rim_lightning.comparison.paper.write import Table, write_table
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.evaluation.protocols import FaceSet, PairSet
from rim_lightning.evaluation.verification import verification_figures
from rim_lightning.functional.verification import kfold_decisions
from tests.helpers.configurations import configuration

SAME, FOLD = torch.tensor([True, False] * 4), torch.arange(8) // 4
PAIRS = PairSet("pairs", None, torch.arange(8), torch.arange(8), SAME, FOLD, names=[], identity=None)
RIGHT = torch.tensor([0.9, 0.1] * 4)
WRONG = torch.tensor([0.1, 0.9, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1])


class Known:
    """A laboratory with made-up figures."""

    lr_size = 8
    scores: ClassVar[dict] = {RIM: RIGHT, Reading(TEACHER): WRONG, Reading(TEACHER, probe="gallery", sharp=True): RIGHT}
    psnr: ClassVar[dict] = {"bicubic": [[20.0, 22.0]], "fhn": [[22.0, 24.0], [24.0, 26.0]]}

    def verify(self, reading, pairs, size, degradation="bicubic"):
        if reading not in self.scores:
            raise NotTrained(Run("key", None, (), f"{reading.system}, seed 0", ()))
        score = self.scores[reading]
        correct = kfold_decisions(score, pairs.same, pairs.fold)[0][None]
        return Verified(verification_figures(score, pairs.same, pairs.fold), correct, score)

    def quality(self, name, faces):
        if name not in self.psnr:
            raise NotTrained(Run("key", None, (), name, ()))
        psnr = torch.tensor(self.psnr[name], dtype=torch.float64)
        other = psnr.mean(0)
        return Quality(psnr, other / 30, other / 40, 9.0 if name == "fhn" else float("nan"), float("nan"))

    def all_pairs_tar(self, reading, pairs, far):
        if reading.sharp:
            raise ValueError("no luck")
        if reading == RIM:
            return AllPairsTar(torch.tensor([0.4, 0.6]), torch.tensor([[0.3, 0.5], [0.5, 0.7]]).double().repeat(1, 50))
        return AllPairsTar(torch.tensor([0.15]), torch.tensor([[0.1, 0.2]]).double().repeat(1, 50))

    class networks:
        """The trained networks."""

        @staticmethod
        def faces_seen(name):
            return 0 if name == TEACHER else 12_345

    def cost(self, name, part, hr_size):
        return {"parameters": 2.5e6, "gflop": 1.25, "faces_per_s": 40.2}


def as_dicts(table):
    assert all(len(row) == len(table.columns) == len(set(table.columns)) for row in table.rows)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_ablation_rows():
    rows = [
        Row("teacher", Reading(TEACHER), {"HR-LR": ".843"}),
        Row("sharp", Reading(TEACHER, probe="gallery", sharp=True), {"HR-HR": ".998"}),
        Row("RIM", RIM),
        Row("student", Reading("vanilla_student")),
    ]
    teacher, sharp, rim, student = as_dicts(Table("Table", list(COLUMNS), ablation_rows(rows, Known(), PAIRS, 64)))
    everyone, ahead = "all pairs: TAR@FAR 1e-3 (95 %)", "all pairs: RIM ahead by"
    # Two seeds, 0.2 apart, in two resamples, 0.2 apart: the means of two seeds are 0.3 … 0.7.
    assert rim[everyone] == "0.500 (0.300 … 0.700)"
    assert rim[ahead] == ""
    assert teacher[everyone] == "0.150 (0.100 … 0.200)"
    assert teacher[ahead] == "+0.350 (+0.200 … +0.500)"
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
    assert [teacher[name] for name in COST_COLUMNS] == ["", "2.50", "1.25", "40"]
    assert rim["thousand training faces"] == "12.3"
    assert sharp["HR-LR (95 %)"] == ""
    assert sharp["HR-HR"] == "1.0000"
    assert sharp["quoted HR-HR"] == ".998"
    assert student["HR-LR (95 %)"] == "not yet run"


def test_seed_i_is_compared_with_seed_i_of_the_same_people():
    resampled = torch.rand(3, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rim = AllPairsTar(resampled.mean(1), resampled)
    less = AllPairsTar(rim.rates - 0.125, resampled - 0.125)
    assert all_pairs_cells(less, rim)[1] == "+0.125 (+0.125 … +0.125)"
    other = AllPairsTar(rim.rates, resampled.flip(1))
    assert all_pairs_cells(other, rim)[1].endswith(", not different")


def test_a_set_that_is_not_there_says_so():
    rows = [Row("teacher", Reading(TEACHER), {"CALFW": ".781"}), Row("RIM", RIM)]
    teacher, rim = as_dicts(overview_table(rows, Known(), {"LFW": PAIRS, "CALFW": None}))
    assert teacher["CALFW (95 %)"] == rim["CALFW (95 %)"] == "no data"
    assert teacher["CALFW quoted"] == ".781"
    assert teacher["LFW: RIM ahead by"].startswith("+0.5000")


def test_a_row_from_scratch_is_compared_with_the_rim_from_scratch():
    class Both(Known):
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


def test_hallucination_rows():
    class Two:
        def __len__(self):
            return 2

    table = hallucination_table(Known(), {"set": FaceSet("set", Two(), "digest")}, 64)
    rows = {row["method"]: row for row in as_dicts(table)}
    assert list(rows) == [label for label, _ in TABLE_4.values()]
    assert rows["bicubic"]["set: PSNR (95 %)"].startswith("21.00 (")
    assert rows["bicubic"]["set: against FHN"].startswith("-3.00")
    assert rows["FHN of RIM"]["set: PSNR (95 %)"].endswith("± 1.41 (seeds)")
    assert "±" not in rows["bicubic"]["set: PSNR (95 %)"]
    assert rows["FHN of RIM"]["landmarks"] == "9.0 %"
    assert rows["FHN of RIM"]["set: against FHN"] == ""
    assert rows["SRCNN"]["set: PSNR (95 %)"] == "not yet run"
    assert rows["SRCNN"]["quoted PSNR / SSIM"] == "25.712 / .713"


def test_no_difference_is_claimed_within_the_interval():
    half = Verified({}, torch.tensor([1.0, 0.0] * 50), torch.zeros(100))
    other = Verified({}, torch.tensor([0.0, 1.0] * 50), torch.zeros(100))
    assert ahead_cell(half, other).endswith("not different")
    assert not ahead_cell(Verified({}, torch.ones(100), torch.zeros(100)), other).endswith("not different")


def test_a_table_is_written_three_times_alike(tmp_path):
    made = Table("A table", ["system", "figure"], [["RIM & co", "50 % ± 1"], ["other", ""]])
    path = write_table(tmp_path, "table", made, ["A note."])
    text = path.read_text().splitlines()
    assert text[0] == "## A table"
    assert "- A note." in text
    assert "| RIM & co | 50 % ± 1 |" in text
    with open(tmp_path / "table.csv") as file:
        assert list(csv.reader(file)) == [made.columns, *made.rows]
    assert r"RIM \& co & 50 \% $\pm$ 1 \\" in (tmp_path / "table.tex").read_text()


def test_every_system_of_the_tables_is_in_the_configuration():
    configured = {TEACHER, *configuration("compare", ["paths.output_dir=unused"]).systems}
    rows = (*TABLE_1, *TABLE_2, *TABLE_3)
    named = {name for row in rows for name in (row.reading.system, row.reading.gallery_of, row.reading.sr)}
    assert named - {None} <= configured
    assert set(TABLE_4) - {"bicubic"} <= configured


@pytest.mark.parametrize("low_gallery", [False, True])
def test_sharp_rows_are_read_by_what_reads_the_gallery(low_gallery):
    assert sharp_reading(RIM) == Reading(TEACHER, probe="gallery", sharp=True)
    assert sharp_reading(Reading("staged_cnn", low_gallery=low_gallery)).system == "staged_cnn"
