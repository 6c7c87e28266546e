"""A laboratory with made-up figures, for the tables and figures of the paper."""

from typing import ClassVar

import torch

from rim_lightning.comparison.laboratory.laboratory import Verified
from rim_lightning.comparison.laboratory.quality import Quality
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.rows import RIM
from rim_lightning.comparison.plan.plan import NotTrained, Run
from rim_lightning.evaluation.figures import verification_figures
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import SeedFigures
from rim_lightning.functional.verification import kfold_decisions

SAME, FOLD = torch.tensor([True, False] * 4), torch.arange(8) // 4
PAIRS = PairSet("pairs", None, torch.arange(8), torch.arange(8), SAME, FOLD, names=[], identity=None)
RIGHT = torch.tensor([0.9, 0.1] * 4)
WRONG = torch.tensor([0.1, 0.9, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1])


class KnownFigures:
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
            return SeedFigures(torch.tensor([0.4, 0.6]), torch.tensor([[0.3, 0.5], [0.5, 0.7]]).double().repeat(1, 50))
        return SeedFigures(
            torch.tensor([0.15]), torch.tensor([[0.1, 0.2]]).double().repeat(1, 50), trained=reading.system != TEACHER
        )

    class networks:
        """The trained networks."""

        @staticmethod
        def faces_seen(name):
            return 0 if name == TEACHER else 12_345

    def training_work(self, name):
        return 0.0 if name == TEACHER else 123.4

    def cost(self, name, part, hr_size):
        return {"parameters": 2.5e6, "gflop": 1.25, "faces_per_s": 40.2}


def as_dicts(table):
    """Rows of a table as column -> cell."""
    assert all(len(row) == len(table.columns) == len(set(table.columns)) for row in table.rows)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
