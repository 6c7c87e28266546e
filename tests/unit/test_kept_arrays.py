"""Kept arrays are whole or missing, whatever is in their file."""

import os
import random
import sys

import numpy as np
import pytest

from rim_lightning.kept_arrays import read_kept
from tests.helpers import hostile


def write(path):
    arrays = {"embedding": np.arange(12, dtype=np.float32).reshape(3, 4), "identity": np.arange(3)}
    np.savez(path, **arrays)
    return arrays


def test_what_was_written_is_read(tmp_path):
    arrays = write(tmp_path / "kept.npz")
    read = read_kept(tmp_path / "kept.npz")
    assert sorted(read) == sorted(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)


def test_damaged_files_are_missing_or_whole(tmp_path):
    write(tmp_path / "whole.npz")
    content = (tmp_path / "whole.npz").read_bytes()
    file, rng, missing = tmp_path / "damaged.npz", random.Random(0), 0
    for _ in range(300):
        file.write_bytes(hostile.damaged(content, rng))
        read = read_kept(file)
        assert all(isinstance(values, np.ndarray) and values.dtype != object for values in read.values())
        missing += not read
    assert missing > 100


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
def test_no_file_a_pipe_a_folder_and_pickles_are_missing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "pickled.npz", things=np.array([{}], dtype=object))
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name in ("none.npz", "pipe", "folder", "pickled.npz", "single.npy"):
        assert read_kept(tmp_path / name) == {}
