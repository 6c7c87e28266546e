"""Reading of a store: samples by name and split; damaged and missing stores are refused with a sentence."""

import json
import os
import pickle

import numpy as np
import pytest

from rim_lightning.data.stores.prepared import PreparedStore, hash_by_name, stored_side
from rim_lightning.data.stores.rows import open_rows
from tests.helpers.toy_store import contents, fill, writer


def test_stored_side_adds_whole_pixels_on_both_sides():
    assert [stored_side(128, 0.125), stored_side(112, 0.0), stored_side(112, 0.13)] == [160, 112, 112 + 2 * 15]


def test_identities_splits_and_names_are_indexed(tmp_path):
    store = fill(tmp_path / "toy")
    assert store.identities == ["zoe"]  # amy's only image was skipped
    assert store.identity.tolist() == [0, -1, 0, -1]
    assert store.select("train").tolist() == [0, 3]
    assert store.select("val").tolist() == [1]
    assert store.select().tolist() == [0, 1, 2, 3]
    assert store.index_of("d") == 2
    with pytest.raises(KeyError, match="no sample 'c'"):
        store.index_of("c")
    with pytest.raises(ValueError, match="'dev' is not one of"):
        store.select("dev")


def test_the_hash_tells_splits_apart_but_not_their_order():
    assert hash_by_name({"a": "train", "b": "val"}) == hash_by_name({"b": "val", "a": "train"})
    assert hash_by_name({"a": "train", "b": "val"}) != hash_by_name({"a": "train", "b": "train"})


def test_a_store_is_pickled_by_its_path(tmp_path):
    store = fill(tmp_path / "toy")
    data = pickle.dumps(store)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).images, store.images)


def test_a_file_that_is_cut_off_while_it_is_read_is_named(tmp_path):
    """A memory map would end the process by SIGBUS."""
    store = fill(tmp_path / "toy")
    whole = np.array(store.images)
    file = store.path / "images.npy"
    os.truncate(file, file.stat().st_size - 1)
    np.testing.assert_array_equal(store.images[:3], whole[:3])
    with pytest.raises(ValueError, match=r"images.npy was cut off while it was read: delete .*toy and make it again"):
        store.images[3]


def test_rows_are_those_of_the_array(tmp_path):
    values = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    np.save(tmp_path / "values.npy", values)
    rows = open_rows(tmp_path / "values.npy")
    assert (len(rows), rows.shape, rows.dtype) == (5, (5, 4, 3), np.float32)
    for key in (
        0,
        -1,
        np.int64(3),
        slice(1, 4),
        slice(2, 2),
        [4, 0, 4],
        np.array([], dtype=int),
        (2, 1),
        np.s_[1:, 2:],
    ):
        np.testing.assert_array_equal(rows[key], values[key])
    np.testing.assert_array_equal(rows, values)
    with pytest.raises(IndexError):
        rows[5]


def test_missing_and_unfinished_stores_say_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no prepared data in .*; run rim-prepare"):
        PreparedStore(tmp_path / "nothing")
    writer(tmp_path / "toy").close()
    with pytest.raises(ValueError, match="did not finish; run the same rim-prepare command"):
        PreparedStore(tmp_path / "toy")


def test_damaged_stores_are_refused(tmp_path):
    path = fill(tmp_path / "toy").path
    intact = contents(path)

    (path / "images.npy").write_bytes(intact["images.npy"][:-100])
    with pytest.raises(ValueError, match=r"images.npy is truncated or damaged; delete"):
        PreparedStore(path)
    np.save(path / "images.npy", np.zeros((3, 20, 20, 3), np.uint8))
    with pytest.raises(ValueError, match=r"images.npy holds uint8 \(3, 20, 20, 3\) where its manifest says"):
        PreparedStore(path)
    (path / "images.npy").unlink()
    with pytest.raises(ValueError, match=r"images.npy is missing"):
        PreparedStore(path)
    (path / "manifest.json").write_text(json.dumps({**json.loads(intact["manifest.json"]), "format": 0}))
    with pytest.raises(ValueError, match="has format 0, this version reads 1"):
        PreparedStore(path)
    (path / "manifest.json").write_bytes(intact["manifest.json"][:50])
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        PreparedStore(path)
