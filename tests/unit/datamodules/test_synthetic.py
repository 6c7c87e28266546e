import hashlib
import json

import pytest
import torch

from rim_lightning.data.synthetic.store import SYNTHESIS_VERSION
from rim_lightning.datamodules.synthetic import SyntheticDataModule


def test_faces_are_made_once_and_other_settings_have_another_folder(tmp_path):
    def module(views):
        splits = {"train": 2, "val": 1, "test": 1}
        return SyntheticDataModule(tmp_path, 4, views, 32, 0.125, splits, batch_size=2)

    data = module(2)
    data.prepare_data()
    data.setup()
    assert (len(data.train), len(data.val), len(data.test)) == (4, 2, 2)
    batch = next(iter(data.train_dataloader()))
    assert set(batch.landmarks) == {"five", "ibug68", "helen194"}
    assert batch.hr.shape == (2, 3, 32, 32)
    people = {split: {int(face.identity) for face in getattr(data, split)} for split in ("train", "val", "test")}
    assert not people["train"] & people["val"]
    assert not people["train"] & people["test"]

    again, other = module(2), module(1)
    again.prepare_data()
    other.prepare_data()
    again.setup()
    assert torch.equal(again.train[0].hr, data.train[0].hr)
    assert len(list(tmp_path.glob("synthetic_*"))) == 2


def test_the_folder_of_a_set_of_faces_stays_the_same(tmp_path):
    """Else everybody's faces would be made anew: digest of version 2 of these settings, as of the first release."""
    data = SyntheticDataModule(tmp_path, 400, 10, 128, 0.125, {"train": 0.8, "val": 0.1, "test": 0.1}, batch_size=2)
    settings = (
        '[2, {"people": 400, "views": 10, "hr_size": 128, "margin": 0.125, "seed": 0, '
        '"splits": {"train": 0.8, "val": 0.1, "test": 0.1}}]'
    )
    assert json.loads(settings)[0] == SYNTHESIS_VERSION
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    assert data.stores == {"synthetic": tmp_path / f"synthetic_128_{digest}"}


def test_loading_options_reach_the_loaders_and_others_are_refused(tmp_path):
    splits = {"train": 2, "val": 1, "test": 1}
    data = SyntheticDataModule(tmp_path, 4, 1, 32, 0.125, splits, 2, workers=3, eval_batch_size=5, seed=7)
    assert (data.workers, data.eval_batch_size, data.seed, data.batch_size) == (3, 5, 7, 2)
    assert (SyntheticDataModule(tmp_path, 4, 1, 32, 0.125, splits, 2).eval_batch_size) == 2
    with pytest.raises(TypeError, match="eval_batchsize"):
        SyntheticDataModule(tmp_path, 4, 1, 32, 0.125, splits, 2, eval_batchsize=5)
