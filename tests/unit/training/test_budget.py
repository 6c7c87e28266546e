"""A budget of minutes becomes batches; the clock of these tests is made up."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.training import budget
from rim_lightning.training.run import build_module, check_together, work_per_face
from tests.helpers.configurations import training_configuration
from tests.helpers.stores import small_synthetic_store

DATA = ["data=celeba", "data.batch_size=2", "workers=0", "teacher.weights=null", "paths.output_dir=unused"]
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
        "++system.super_resolver.blocks=1",
        "++system.super_resolver.width=4",
        "++system.super_resolver.growth=2",
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


def test_faces_become_whole_batches_alike_for_every_number_of_stages():
    assert budget.whole_batches(24_000, 10, 16) == 2400
    assert budget.whole_batches(24_070, 10, 16) == 2400  # 150.4 batches
    assert budget.whole_batches(24_090, 10, 16) == 2416  # 150.6 batches
    assert budget.whole_batches(160, 10, 16) == 16
    with pytest.raises(ValueError, match=r"faces=159 is too small: one batch of 16 in each of the 10 epochs is 160"):
        budget.whole_batches(159, 10, 16)


def test_work_becomes_whole_batches(short_and_whole):
    """6 epochs of 2 GFLOP a face and 3 of 5 are 27 GFLOP; in batches of 2, 0.054 TFLOP for one batch an epoch."""
    _, cfg = short_and_whole
    cfg.work = 0.55
    assert budget.faces_of_work(cfg, {"pixel": 2.0, "adversarial": 5.0}) == 2 * 10
    cfg.work = 0.05
    with pytest.raises(ValueError, match=r"work=0.05 TFLOP is too small: .* the run takes 0.054 TFLOP"):
        budget.faces_of_work(cfg, {"pixel": 2.0, "adversarial": 5.0})


def test_the_work_of_a_face_by_hand(short_and_whole):
    """VDSR of two layers of 4 channels: its first layer needs no gradient of its input, so it counts two times."""
    _, cfg = short_and_whole
    cfg.system = training_configuration(["experiment=vdsr", "model=tiny"]).system
    cfg.system.super_resolver = {"name": "vdsr", "depth": 3, "width": 4}
    cfg.schedule.stages = [{"name": "pixel", "epochs": 3}]
    pixels = 2 * 9 * 64 * 64  # a multiply-add of one input channel and one output channel
    first, middle, last = pixels * 3 * 4, pixels * 4 * 4, pixels * 4 * 3
    assert work_per_face(cfg, None) == {"pixel": pytest.approx((2 * first + 3 * middle + 3 * last) / 1e9)}


@pytest.mark.slow
def test_the_work_of_both_stages_and_of_a_bank(short_and_whole):
    _, cfg = short_and_whole
    gflop = work_per_face(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)), None)  # as a run keeps it
    assert list(gflop) == ["pixel", "adversarial"]
    assert 0 < gflop["pixel"] < gflop["adversarial"]
    more = training_configuration(["experiment=distillation_more", "model=tiny", *DATA])
    more.data.stores = cfg.data.stores
    more.trainer.precision = "32-true"
    plain = more.copy()
    plain.system.weights.contrastive = 0.0
    with_bank, without = (work_per_face(one, None)["mixed"] for one in (more, plain))
    # Cosines of 64 numbers with each training face, and the gradient of the probe's embedding.
    faces = len(small_faces(cfg))
    assert with_bank - without == pytest.approx(2 * 2 * 64 * faces / 1e9)


def small_faces(cfg):
    data = instantiate(cfg.data)
    data.setup()
    return data.train


@pytest.mark.parametrize("others", [["faces=500", "work=1"], ["budget=1", "faces=500"], ["budget=1", "work=2"]])
def test_one_setting_decides_the_number_of_faces(others):
    cfg = training_configuration(["experiment=demo", "paths.output_dir=unused", *others])
    with pytest.raises(ValueError, match=r"are given, and each decides the number of training faces: keep one\."):
        check_together(cfg)
