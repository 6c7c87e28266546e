import numpy as np
import pytest
import torch

from rim_lightning.data.pairs import pseudo_genuine_pairs
from rim_lightning.datamodules.helen import HelenDataModule
from tests.helpers.stores import small_synthetic_store


def test_every_photograph_meets_its_mirror_image_and_one_other_of_its_fold():
    pairs = pseudo_genuine_pairs(25, folds=5, seed=0)
    genuine, impostor = pairs.same, ~pairs.same
    assert genuine.sum() == impostor.sum() == 25
    np.testing.assert_array_equal(pairs.probe[genuine], pairs.gallery[genuine] + 25)
    assert (pairs.probe[impostor] != pairs.gallery[impostor] + 25).all()
    assert sorted(pairs.probe[impostor]) == list(range(25, 50))
    np.testing.assert_array_equal((pairs.probe - 25) % 5, pairs.fold)
    np.testing.assert_array_equal(pairs.gallery % 5, pairs.fold)
    with pytest.raises(ValueError, match="too few for 5 folds"):
        pseudo_genuine_pairs(9, folds=5, seed=0)


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
