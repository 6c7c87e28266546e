import pytest

from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.datamodules.lfw import LFWDataModule
from tests.helpers.stores import noise_store

PAIRS = "2\t1\nA\t1\t2\nA\t1\tB\t1\nB\t1\t3\nB\t3\tC\t1\n"


@pytest.fixture
def prepared(tmp_path):
    names = [f"{p}/{p}_{n:04d}.jpg" for p, n in [("C", 1), ("A", 1), ("A", 2), ("B", 1), ("B", 2), ("B", 3)]]
    noise_store(tmp_path / "lfw", names, [name[0] for name in names], {"five": 5}, split="test")
    (tmp_path / "pairs.txt").write_text(PAIRS)
    return tmp_path


def test_pairs_are_positions_of_the_images_that_occur(prepared):
    data = LFWDataModule(prepared / "lfw", prepared / "pairs.txt", batch_size=4)
    data.setup("test")
    batches = list(data.test_dataloader())
    index = [i for batch in batches for i in batch.index.tolist()]
    assert index == [0, 1, 2, 3, 4]  # B/B_0002 occurs in no pair
    store = PreparedStore(prepared / "lfw")
    people = [store.identities[person] for batch in batches for person in batch.identity.tolist()]
    assert people == ["A", "A", "B", "B", "C"]
    names = [store.names[position][-10:-4] for position in data.faces.positions]
    assert names == ["A_0001", "A_0002", "B_0001", "B_0003", "C_0001"]
    compared = list(zip(data.pairs.gallery.tolist(), data.pairs.probe.tolist(), strict=True))
    assert compared == [(0, 1), (0, 2), (2, 3), (3, 4)]
    assert data.pairs.same.tolist() == [True, False, True, False]
    assert data.pairs.fold.tolist() == [0, 0, 1, 1]


def test_a_pair_without_its_image_is_named(prepared):
    (prepared / "pairs.txt").write_text(PAIRS.replace("C\t1", "C\t9"))
    with pytest.raises(ValueError, match="C_0009"):
        LFWDataModule(prepared / "lfw", prepared / "pairs.txt", batch_size=4).setup()
