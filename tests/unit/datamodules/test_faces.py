import pytest
import pytorch_lightning as pl
import torch

from rim_lightning.datamodules.faces import FaceDataModule, whole_people
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import augmentation


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    small_synthetic_store(root / "synthetic")
    noise_store(root / "poor", [f"n{i}" for i in range(4)], [None] * 4, {"five": 5})
    return {"synthetic": root / "synthetic", "poor": root / "poor"}


class Listener(pl.LightningModule):
    """Trains nothing; keeps what reaches it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []
        self.validated = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.validated += batch.index.tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_sees_unit_images_and_another_view_each_epoch(stores, tmp_path, workers):
    data = FaceDataModule(stores, batch_size=4, workers=workers, augmentation=augmentation)
    model = Listener()
    pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(model, data)
    assert len(model.seen) == 2 * 4
    epochs = [model.seen[:4], model.seen[4:]]
    faces = [{int(i): hr for b in epoch for i, hr in zip(b.index, b.hr, strict=True)} for epoch in epochs]
    assert set(faces[0]) == set(faces[1]) == set(range(16))
    hr = torch.stack(list(faces[0].values()))
    assert hr.dtype == torch.float32
    assert -1 <= hr.min() < -0.5
    assert 0.5 < hr.max() <= 1
    assert all(not torch.equal(faces[0][i], faces[1][i]) for i in range(16))
    assert model.validated == [0, 1, 2] * 2
    # Epoch 1 has the views of epoch 1 whoever loads them.
    expected = data.train[model.seen[4].index[0].item(), 1]
    torch.testing.assert_close(model.seen[4].landmarks["five"][0], expected.landmarks["five"], equal_nan=True)


def test_two_ranks_share_the_batches_of_one_process(stores, monkeypatch):
    def indices(batch_size, place):
        data = FaceDataModule(stores, batch_size, shares={"poor": 1, "synthetic": 1}, samples_per_epoch=12)
        monkeypatch.setattr(data, "place", lambda: place)
        data.setup()
        return [batch.index.tolist() for batch in data.train_dataloader()]

    whole = indices(4, (0, 1))
    first, second = indices(2, (0, 2)), indices(2, (1, 2))
    assert [sorted(a + b) for a, b in zip(first, second, strict=True)] == [sorted(batch) for batch in whole]
    # Shares in the order of the names, not of the stores: half of the draws are of the four faces of `poor`.
    assert sum(index >= 12 for batch in whole for index in batch) == 6


def test_shares_must_name_the_stores(stores):
    with pytest.raises(ValueError, match="shares are given for"):
        FaceDataModule(stores, 4, shares={"synthetic": 1.0})


def test_batches_carry_the_schemes_that_were_asked_for(stores):
    """A set without 68 points is NaN there; points nobody asked for stay behind."""
    data = FaceDataModule({"poor": stores["poor"]}, batch_size=2, schemes=["ibug68"])
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert set(batch.landmarks) == {"ibug68"}
    assert batch.landmarks["ibug68"].shape == (2, 68, 2)
    assert batch.landmarks["ibug68"].isnan().all()


def test_fewer_faces_than_a_batch_are_named(stores):
    data = FaceDataModule({"poor": stores["poor"]}, batch_size=5)
    data.setup()
    with pytest.raises(ValueError, match="4 training faces are fewer than one batch of 5"):
        data.train_dataloader()


def test_validation_takes_whole_people_up_to_the_number(tmp_path):
    people = [*"aaaabbbcccccdd", None, None]
    names = [f"{number}.png" for number in range(len(people))]
    store = noise_store(tmp_path / "named", names, people, {"five": 5}, split="val")
    for limit in (1, 2, 6, 9, 15):
        chosen = [people[position] for position in whole_people(store, "val", limit)]
        assert len(chosen) <= limit
        assert len(chosen) > limit - 3, "some person of one to three faces still fits"
        assert all(chosen.count(name) == people.count(name) for name in set(chosen) - {None})
    named = noise_store(tmp_path / "many", [f"{number}.png" for number in range(4)], [*"aabb"], {}, split="val")
    with pytest.raises(ValueError, match=r"validation_faces is 1, but every person .* has more faces: raise it"):
        whole_people(named, "val", 1)
    data = FaceDataModule({"named": store.path}, 4, validation_faces=6)
    data.setup()
    assert data.val.sets[0].positions.tolist() == whole_people(store, "val", 6).tolist()
    assert whole_people(store, "val", None).tolist() == whole_people(store, "val", 16).tolist() == list(range(16))
