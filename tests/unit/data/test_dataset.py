import pickle

import numpy as np
import pytest
import torch

from rim_lightning.data.dataset import FaceDataset, FaceKey, UnionDataset, collate
from rim_lightning.types import NO_IDENTITY, UNLABELED
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import augmentation as augmented_view


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("stores") / "synthetic")


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    names, people = [f"n{i}" for i in range(4)], ["a", None, "b", "a"]
    return noise_store(tmp_path_factory.mktemp("stores") / "poor", names, people, {"five": 5})


def test_an_item_is_the_central_crop_of_the_store(synthetic):
    faces = FaceDataset(synthetic, "val")
    position = int(synthetic.select("val")[1])
    face = faces[1]
    np.testing.assert_array_equal(face.hr.permute(1, 2, 0), synthetic.images[position][6:-6, 6:-6])
    np.testing.assert_array_equal(face.parsing, synthetic.parsing[position][6:-6, 6:-6])
    np.testing.assert_allclose(face.landmarks["ibug68"], synthetic.landmarks["ibug68"][position] - 6, atol=1e-5)
    assert face.identity == synthetic.identity[position]
    assert face.index == 1
    assert (face.hr.dtype, face.parsing.dtype, face.identity.dtype) == (torch.uint8, torch.uint8, torch.int64)
    with pytest.raises(IndexError):
        faces[len(faces)]


def test_a_view_depends_on_seed_epoch_and_position_alone(synthetic):
    faces = FaceDataset(synthetic, "train", augmented_view(48), seed=1)
    view = faces[2, 5]
    faces[0, 5], faces[2, 6]  # whatever was loaded in between
    torch.testing.assert_close(faces[2, 5], view)
    assert not torch.equal(faces[2, 6].hr, view.hr)
    assert not torch.equal(FaceDataset(synthetic, "train", augmented_view(48), seed=2)[2, 5].hr, view.hr)
    part = FaceDataset(synthetic, synthetic.select("train")[2:], augmented_view(48), seed=1)
    assert torch.equal(part[0, 5].hr, view.hr)
    assert torch.equal(pickle.loads(pickle.dumps(faces))[2, 5].hr, view.hr)


def test_every_draw_of_an_epoch_is_another_view(synthetic):
    union = UnionDataset([FaceDataset(synthetic, "train", augmented_view(48), seed=1)])
    views = [union[FaceKey(2, epoch, repetition)].hr for epoch in range(2) for repetition in range(3)]
    assert all(not torch.equal(views[i], views[j]) for i in range(6) for j in range(i))
    assert torch.equal(views[0], union[2, 0].hr)


def test_a_union_carries_every_label_of_any_set(synthetic, poor):
    union = UnionDataset([FaceDataset(poor, "train"), FaceDataset(synthetic, "train")])
    assert len(union) == 4 + 12
    assert set(union.schemes) == {"five", "ibug68", "helen194"}
    bare, full = union[1], union[4]
    assert set(bare.landmarks) == set(full.landmarks) == set(union.schemes)
    assert bare.landmarks["helen194"].shape == (194, 2)
    assert bare.landmarks["helen194"].isnan().all()
    assert not bare.landmarks["five"].isnan().any()
    assert not full.landmarks["helen194"].isnan().any()
    assert (bare.parsing == UNLABELED).all()
    assert (full.parsing != UNLABELED).all()


def test_people_of_a_union_are_different_people(synthetic, poor):
    union = UnionDataset([FaceDataset(poor, "train"), FaceDataset(synthetic, "train")])
    batch = collate([union[i] for i in range(len(union))])
    assert batch.identity[:4].tolist() == [0, NO_IDENTITY, 1, 0]
    people = synthetic.identity[synthetic.select("train")] + len(poor.identities)
    assert batch.identity[4:].tolist() == people.tolist()
    assert batch.index.tolist() == list(range(16))


def test_collate_stacks_every_field(synthetic):
    faces = FaceDataset(synthetic, "train")
    batch = collate([faces[0], faces[3, 1]])
    assert batch.hr.shape == (2, 3, 48, 48)
    assert batch.hr.dtype == torch.uint8
    torch.testing.assert_close(batch.landmarks["five"][1], faces[3].landmarks["five"])
    assert batch.index.tolist() == [0, 3]


def test_stores_of_different_sizes_do_not_unite(synthetic, tmp_path):
    small = noise_store(tmp_path / "small", ["a"], ["a"], {"five": 5}, hr_size=32)
    with pytest.raises(ValueError, match="one hr_size"):
        UnionDataset([FaceDataset(synthetic, "train"), FaceDataset(small, "train")])
    with pytest.raises(ValueError, match="at least one"):
        UnionDataset([])
