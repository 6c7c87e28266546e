import torch

from rim_lightning.datamodules.helen import HelenDataModule
from tests.helpers.stores import small_synthetic_store


def test_the_second_half_of_the_images_are_the_mirror_images(tmp_path):
    small_synthetic_store(tmp_path / "helen", views=4)
    data = HelenDataModule(tmp_path / "helen", batch_size=3, folds=2)
    data.setup()
    batches = list(data.test_dataloader())
    hr = torch.cat([batch.hr for batch in batches])
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(8))
    assert torch.equal(hr[4:], hr[:4].flip(-1))
    assert len(data.pairs.gallery) == 8
    five = torch.cat([batch.landmarks["five"] for batch in batches])
    assert (five[4:, 0, 0] < five[4:, 1, 0]).all()  # still the eye on the left of the image first
