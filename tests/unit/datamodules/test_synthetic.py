import torch

from rim_lightning.datamodules.synthetic import SyntheticDataModule


def test_faces_are_drawn_once_and_other_settings_have_another_folder(tmp_path):
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
