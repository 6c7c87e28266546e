"""What a run tells about its speed, against clocks of the test's own."""

import csv
import time

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from rim_lightning.data.dataset import FaceDataset, collate
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.training.callbacks.throughput import Throughput
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store
from tests.integration.test_fit import module_of, trainer_of

SLOW = 0.15  # seconds that a batch waits for its data


class SlowData(FaceDataModule):
    """Every batch comes late."""

    def train_dataloader(self):
        loader = super().train_dataloader()
        collate = loader.collate_fn
        loader.collate_fn = lambda faces: time.sleep(SLOW) or collate(faces)
        return loader


class Clock(pl.Callback):
    """Times of the ends of batches."""

    def __init__(self):
        self.ends = []

    def on_train_batch_end(self, *_):
        self.ends.append(time.perf_counter())


@pytest.mark.slow
def test_speed_and_waiting_are_logged_once_an_epoch(tmp_path):
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=4, hr_size=32)
    clock = Clock()
    trainer = trainer_of(
        tmp_path,
        2,
        [clock, Throughput()],
        enable_checkpointing=False,
        logger=CSVLogger(tmp_path, "csv"),
        log_every_n_steps=7,
    )
    trainer.fit(module_of(), SlowData({"synthetic": store.path}, batch_size=4))
    with open(tmp_path / "csv" / "version_0" / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row.get("speed/steps_per_s")]
    assert len(rows) == 2
    batches = len(clock.ends) // 2
    for epoch, row in enumerate(rows):
        ends = clock.ends[epoch * batches : (epoch + 1) * batches]
        seconds = ends[-1] - ends[0]
        assert float(row["speed/steps_per_s"]) == pytest.approx((batches - 1) / seconds, rel=0.05)
        assert float(row["speed/pairs_per_s"]) == pytest.approx(4 * (batches - 1) / seconds, rel=0.05)
        waited = (batches - 1) * SLOW / seconds
        assert waited <= float(row["speed/data_wait"]) < min(1, 1.5 * waited)
        assert 0.1 < float(row["speed/memory_gb"]) < 24


class ForeignData(pl.LightningDataModule):
    """A data module of a user, with torch's own loader."""

    def __init__(self, store):
        super().__init__()
        self.faces = FaceDataset(PreparedStore(store), "train")

    def train_dataloader(self):
        return DataLoader(self.faces, batch_size=4, collate_fn=collate, drop_last=True)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch._replace(hr=to_unit(batch.hr))


@pytest.mark.slow
def test_a_loader_that_does_not_measure_waiting_has_the_other_figures(tmp_path):
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=4, hr_size=32)
    speed = Throughput()
    trainer = trainer_of(tmp_path, 1, [speed], enable_checkpointing=False, logger=False)
    trainer.fit(module_of(), ForeignData(store.path))
    assert set(speed.figures) == {"speed/steps_per_s", "speed/pairs_per_s", "speed/memory_gb"}
