"""A budget of minutes becomes batches; the clock of these tests is made up."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.training import budget
from rim_lightning.training.run import build_module
from tests.helpers.stores import small_synthetic_store

SECONDS = {"pixel": 0.5, "adversarial": 2.0}  # of a batch


@pytest.fixture
def short_and_whole(tmp_path, monkeypatch):
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=4, hr_size=64)
    overrides = [
        "experiment=esrgan",
        "model=tiny",
        "data=celeba",
        f"data.stores.celeba={store.path}",
        "data.batch_size=2",
        "workers=0",
        "system.super_resolver={name: esrgan, blocks: 1, width: 4, growth: 2}",
        "system.discriminator.width=4",
        "teacher.weights=null",
        "trainer.precision=32-true",
        "schedule.stages=[{name: pixel, epochs: 6}, {name: adversarial, epochs: 3}]",
        "budget=1.5",
        "paths.output_dir=unused",
    ]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    return budget.one_epoch_each(cfg), cfg


def with_clock(monkeypatch, module, slow_start=0.0):
    """Every batch takes what its stage takes, the first ones longer."""
    now = [0.0]
    step = module.training_step

    def timed(batch, batch_idx):
        now[0] += SECONDS[module.stage] + (slow_start if batch_idx < 3 else 0.0)
        step(batch, batch_idx)

    module.training_step = timed
    monkeypatch.setattr(budget.StageClock, "_now", staticmethod(lambda device: now[0]))


@pytest.mark.parametrize("slow_start", [0.0, 5.0])
def test_batches_fill_the_budget_whatever_the_first_ones_take(short_and_whole, monkeypatch, slow_start):
    """6 epochs of 0.5 s and 3 of 2 s are 9 s for one batch an epoch: 1.5 minutes are 10 of them."""
    short, cfg = short_and_whole
    data = instantiate(short.data)
    module = build_module(short, None, data)
    with_clock(monkeypatch, module, slow_start)
    assert budget.batches_per_epoch(short, cfg, module, data) == 10


def test_a_budget_too_small_is_refused_with_what_a_batch_takes(short_and_whole, monkeypatch):
    short, cfg = short_and_whole
    cfg.budget = 0.05
    data = instantiate(short.data)
    module = build_module(short, None, data)
    with_clock(monkeypatch, module)
    with pytest.raises(
        ValueError,
        match=r"budget=0.05 minutes is too short: with one batch per epoch the run takes 0.15 minutes\. Raise budget",
    ):
        budget.batches_per_epoch(short, cfg, module, data)


def test_processor_time_is_shared_among_the_threads(monkeypatch):
    monkeypatch.setattr(budget.time, "process_time", lambda: 12.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert budget.StageClock._now(torch.device("cpu")) == 3.0
