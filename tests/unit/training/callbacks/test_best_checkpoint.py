"""best.ckpt is the best validation of the stage that is trained, by what that stage trains, also across a resume."""

import math
from types import SimpleNamespace

import pytest
import torch

from rim_lightning.training.callbacks.best_checkpoint import BestCheckpoint
from tests.helpers.tiny import schedule

STAGES = schedule([{"name": "fhn", "epochs": 2}, {"name": "hrn", "epochs": 3}, {"name": "joint", "epochs": 1}])
QUALITY, RECOGNITION = "val/psnr_gain", "val/rim/auc"


class Run:
    """A training that only validates; the "checkpoint" is the epoch."""

    def __init__(self, folder, callback=None):
        self.callback = callback or BestCheckpoint(str(folder), monitor=None, mode="max")
        self.trainer = SimpleNamespace(
            current_epoch=0,
            is_global_zero=True,
            sanity_checking=False,
            fast_dev_run=False,
            state=SimpleNamespace(fn="fit"),
            callback_metrics={},
            strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
            save_checkpoint=lambda path, weights_only: path.write_text(str(self.trainer.current_epoch)),
        )
        self.module = SimpleNamespace(trainer=self.trainer, schedule=STAGES, figures_of=self.figures_of)

    @staticmethod
    def figures_of(stage):
        return (QUALITY,) if stage == "fhn" else (RECOGNITION, QUALITY)

    def epoch(self, number, quality, recognition):
        self.trainer.current_epoch = number
        self.module.stage = STAGES.locate(number)[0].name
        self.callback.on_train_epoch_start(self.trainer, self.module)
        self.trainer.callback_metrics = {QUALITY: torch.tensor(quality), RECOGNITION: torch.tensor(recognition)}
        self.callback.on_validation_end(self.trainer, self.module)


EPOCHS = [(0, 3.0, 0.5), (1, 2.0, 0.6), (2, 9.0, 0.6), (3, 1.0, 0.8), (4, 8.0, 0.7), (5, 0.5, 0.75)]


@pytest.mark.parametrize("resumed_before", [None, *range(1, 6)])
def test_it_follows_the_stage_and_starts_anew_with_each(tmp_path, resumed_before):
    run = Run(tmp_path)
    best = []
    for number, quality, recognition in EPOCHS:
        if number == resumed_before:  # a new process reads the state in last.ckpt
            state, run = run.callback.state_dict(), Run(tmp_path)
            run.callback.load_state_dict(state)
        run.epoch(number, quality, recognition)
        best.append(int((tmp_path / "best.ckpt").read_text()))
    assert best == [0, 0, 2, 3, 3, 5]
    assert (tmp_path / "best_fhn.ckpt").read_text() == "0"
    assert (tmp_path / "best_hrn.ckpt").read_text() == "3"


def test_without_a_validation_in_the_new_stage_there_is_no_best_of_an_untrained_network(tmp_path):
    run = Run(tmp_path)
    run.epoch(0, 3.0, 0.5)
    run.trainer.current_epoch, run.module.stage = 2, "hrn"
    run.callback.on_train_epoch_start(run.trainer, run.module)
    assert not (tmp_path / "best.ckpt").exists()
    assert (tmp_path / "best_fhn.ckpt").read_text() == "0"


def test_data_without_people_are_judged_by_image_quality(tmp_path):
    run = Run(tmp_path)
    for number, quality in ((2, 1.0), (3, 3.0), (4, 2.0)):
        run.epoch(number, quality, math.nan)
    assert (tmp_path / "best.ckpt").read_text() == "3"


def test_a_figure_of_ones_own_decides_in_every_stage(tmp_path):
    run = Run(tmp_path, BestCheckpoint(str(tmp_path), monitor=QUALITY, mode="min"))
    for number, quality, recognition in EPOCHS:
        run.epoch(number, quality, recognition)
        if number == 4:
            assert (tmp_path / "best.ckpt").read_text() == "3"
