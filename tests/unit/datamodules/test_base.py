"""Loaders of the data modules: when they ask for the order, how long their user waits, what each rank sees."""

import pytest

from rim_lightning.datamodules.faces import FaceDataModule
from tests.helpers.stores import noise_store, small_synthetic_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    small_synthetic_store(root / "synthetic")
    noise_store(root / "poor", [f"n{i}" for i in range(4)], [None] * 4, {"five": 5})
    return {"synthetic": root / "synthetic", "poor": root / "poor"}


def test_the_training_loader_counts_how_long_its_user_waits(stores, monkeypatch):
    """By hand, with a clock that goes on by a second at every look: one second a batch and one for the end."""
    data = FaceDataModule({"poor": stores["poor"]}, batch_size=2)
    data.setup()
    loader = data.train_dataloader()
    assert loader.seconds_waited == 0
    monkeypatch.setattr("rim_lightning.datamodules.base.time.perf_counter", iter(range(100)).__next__)
    assert len(list(loader)) == 2
    assert loader.seconds_waited == 3


def test_the_sampler_is_asked_when_the_first_batch_is_requested(stores):
    """Epoch 1, which the sampler learns after the iterator was made."""
    data = FaceDataModule(stores, batch_size=4)
    data.setup()
    loader = data.train_dataloader()
    batches = iter(loader)
    loader.sampler.set_epoch(1)
    first = next(batches).index.tolist()
    assert first == [key.position for key in loader.sampler][:4]
    loader.sampler.set_epoch(0)
    assert first != [key.position for key in loader.sampler][:4]


def test_validation_shares_out_every_face(stores, monkeypatch):
    data = FaceDataModule(stores, 2)
    data.setup()
    seen = []
    for rank in range(2):
        monkeypatch.setattr(data, "place", lambda rank=rank: (rank, 2))
        seen.append([i for batch in data.val_dataloader() for i in batch.index.tolist()])
    assert len(seen[0]) == len(seen[1]) == 2
    assert set(seen[0] + seen[1]) == {0, 1, 2}
