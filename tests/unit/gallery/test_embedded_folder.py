"""Files of embeddings come back as they were written, and a folder belongs to one manifest."""

import numpy as np
import pytest

from rim_lightning.gallery.embedded_folder import (
    MANIFEST,
    EmbeddedFolder,
    EmbeddedRow,
    Manifest,
    is_embedded,
    names_digest,
)

NAMES = [b"a/1.png", b"a/2.png", b"b.png"]
SETTINGS = Manifest(
    model="0123",
    embedding_size=2,
    hr_size=32,
    side="gallery",
    aligned=True,
    precision="32-true",
    pictures="/pictures",
    count=3,
    names=names_digest(NAMES),
    shard=2,
)
ROWS = [EmbeddedRow("a/1.png", "a", "d1", 32.0, 1), EmbeddedRow("a/2.png", left_out="a/2.png is empty.")]


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("pyarrow")
    return EmbeddedFolder.begin(tmp_path / "out", SETTINGS)


def test_three_pictures_in_files_of_two(folder):
    assert list(folder.shards) == [0, 1]
    assert [list(folder.positions(number)) for number in folder.shards] == [[0, 1], [2]]
    assert folder.missing() == [0, 1]


def test_a_file_is_read_as_it_was_written(folder):
    folder.write(0, ROWS, np.array([[0.6, 0.8]], np.float32))
    assert folder.missing() == [1]
    first, second = folder.read(0).to_pylist()
    assert first.pop("embedding") == pytest.approx([0.6, 0.8])
    assert second.pop("embedding") is None
    assert (EmbeddedRow(**first), EmbeddedRow(**second)) == tuple(ROWS)
    assert folder.left_out() == {"a/2.png": "a/2.png is empty."}
    with pytest.raises(ValueError, match=r"embeddings_000001.parquet is missing or damaged: remove it"):
        folder.read(1)


def test_a_file_needs_all_its_pictures(folder):
    with pytest.raises(RuntimeError, match=r"embeddings_000000.parquet has 2 pictures, got 1"):
        folder.write(0, ROWS[:1], np.zeros((1, 2), np.float32))
    assert folder.missing() == [0, 1]


def test_processes_that_begin_at_once_do_not_disturb_each_other(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / f".{MANIFEST}.4711.part").write_text("{")  # another process writes the manifest right now
    assert not is_embedded(tmp_path)
    folder = EmbeddedFolder.begin(tmp_path, SETTINGS)
    assert is_embedded(tmp_path)
    assert EmbeddedFolder.begin(tmp_path, SETTINGS).manifest == folder.manifest == SETTINGS
    folder.tidy()
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_another_manifest_is_refused(folder):
    with pytest.raises(ValueError, match="was begun with side=gallery, this is side=probe"):
        EmbeddedFolder.begin(folder.path, SETTINGS.model_copy(update={"side": "probe"}))
    with pytest.raises(ValueError, match=r"was begun with 3 pictures, but /pictures now holds other pictures \(3\)"):
        EmbeddedFolder.begin(folder.path, SETTINGS.model_copy(update={"names": names_digest([b"c.png"])}))


def test_names_that_join_to_the_same_text_have_different_digests():
    assert names_digest([b"ab", b"c"]) != names_digest([b"a", b"bc"])
