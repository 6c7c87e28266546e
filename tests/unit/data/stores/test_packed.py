"""A packed store is read like the prepared one it was made from."""

import errno
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.data.stores import packed
from rim_lightning.data.stores.packed import PackedStore, open_store, pack
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.files import put_in_place
from tests.helpers.commands import run_here
from tests.helpers.stores import noise_store, small_synthetic_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=3, hr_size=64)


@pytest.fixture(scope="module")
def small(store, tmp_path_factory):
    return pack(store, tmp_path_factory.mktemp("packed") / "synthetic", shard=7, progress=False)


def through_pillow(image):
    """The same picture as another library's JPEG of the same quality, chroma in full."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return np.asarray(Image.open(file))


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_everything_but_the_images_is_the_same_and_they_are_close(store, small):
    assert isinstance(small, PackedStore)
    assert len(small) == len(store) == 18
    assert (small.names, small.splits, small.identities) == (store.names, store.splits, store.identities)
    assert np.array_equal(small.identity, store.identity)
    for split in ("train", "val", "test", None):
        assert np.array_equal(small.select(split), store.select(split))
    with pytest.raises(ValueError, match="'dev' is not one of"):
        small.select("dev")
    assert small.index_of(store.names[11]) == 11
    for position in range(18):
        assert np.array_equal(small.parsing[position], store.parsing[position])
        for scheme, points in store.landmarks.items():
            assert np.array_equal(small.landmarks[scheme][position], points[position], equal_nan=True)
        assert small.images[position].dtype == np.uint8
        found = np.abs(small.images[position].astype(int) - store.images[position]).mean()
        assert found < 1.05 * np.abs(through_pillow(store.images[position]).astype(int) - store.images[position]).mean()


def test_the_channels_keep_their_order(tmp_path):
    store = noise_store(tmp_path / "noise", ["a.png"], [None], {})
    images = np.lib.format.open_memmap(tmp_path / "noise" / "images.npy", mode="r+")
    images[0] = (200, 100, 10)  # RGB
    images.flush()
    small = pack(PreparedStore(store.path), tmp_path / "packed", progress=False)
    assert small.parsing is None
    assert np.abs(small.images[0].reshape(-1, 3).mean(0) - (200, 100, 10)).max() < 2


def test_batches_for_training_come_in_the_same_order_with_close_images(store, small):
    batches = []
    for path in (store.path, small.path):
        data = FaceDataModule({"synthetic": path}, batch_size=4, workers=1, seed=3)
        data.setup()
        batches.append(list(data.train_dataloader()))
    assert len(batches[0]) == len(batches[1]) == 3
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.index, other.index)
        assert torch.equal(one.identity, other.identity)
        assert torch.equal(one.parsing, other.parsing)
        assert (one.hr.int() - other.hr.int()).abs().float().mean() < 2.5


def test_a_killed_packing_goes_on_and_leaves_the_same_bytes(store, small, tmp_path, monkeypatch):
    write, written = packed._write_pictures, []

    def dies(path, *arguments):
        if len(written) == 1:
            path.with_suffix(".part").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *arguments)

    monkeypatch.setattr(packed, "_write_pictures", dies)
    with pytest.raises(KeyboardInterrupt):
        pack(store, tmp_path / "again", shard=7, progress=False)
    assert not (tmp_path / "again").exists()
    monkeypatch.setattr(packed, "_write_pictures", lambda path, *rest: written.append(path.name) or write(path, *rest))
    made = pack(store, tmp_path / "again", shard=7, progress=False)
    assert written == [packed.picture_file(number) for number in range(3)]
    assert files(made.path) == files(small.path)
    assert pack(store, tmp_path / "again", shard=7, progress=False).path == made.path  # nothing to do
    assert len(written) == 3
    with pytest.raises(ValueError, match="again holds another set, or this one packed with another qual"):
        pack(store, tmp_path / "again", quality=80, shard=7, progress=False)


def test_a_packing_killed_before_its_last_move_is_moved(store, small, tmp_path, monkeypatch):
    """All files are whole by then: none of them is written again."""
    with monkeypatch.context() as patch:
        patch.setattr(packed, "put_in_place", killed_for(tmp_path / "again"))
        with pytest.raises(KeyboardInterrupt):
            pack(store, tmp_path / "again", shard=7, progress=False)
    monkeypatch.setattr(packed, "_write_set", None)
    assert files(pack(store, tmp_path / "again", shard=7, progress=False).path) == files(small.path)


def killed_for(output):
    def put(part, path):
        if path == output:
            raise KeyboardInterrupt
        put_in_place(part, path)

    return put


def test_a_second_packing_waits_and_finds_the_set(store, small, tmp_path, monkeypatch):
    write, second = packed._write_set, []

    def slow(*arguments):
        write(*arguments)
        command = [sys.executable, "-m", "rim_lightning.commands.pack", str(store.path), str(tmp_path / "again")]
        second.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        assert "Waiting for another process" in second[0].stderr.readline()

    monkeypatch.setattr(packed, "_write_set", slow)
    made = pack(store, tmp_path / "again", progress=False)
    _, errors = second[0].communicate(timeout=60)
    assert second[0].returncode == 0, errors
    assert made.images[3].shape == small.images[3].shape


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
def test_a_pipe_in_place_of_a_file_is_refused(store, tmp_path):
    place = pack(store, tmp_path / "packed", shard=7, progress=False).path
    for name in ("samples.arrow", packed.picture_file(0), "landmarks_ibug68.npy"):
        content = (place / name).read_bytes()
        (place / name).unlink()
        os.mkfifo(place / name)
        with pytest.raises((OSError, ValueError), match=name):
            open_store(place).images[0]
        (place / name).unlink()
        (place / name).write_bytes(content)


def test_damaged_landmarks_are_packed_again(store, tmp_path):
    place = pack(store, tmp_path / "packed", shard=7, progress=False).path
    (place / "landmarks_ibug68.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"landmarks_ibug68.npy is truncated .* run rim-pack again"):
        open_store(place)


def test_outputs_that_cannot_be_written_are_refused_before_any_work(store, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_write_pictures", None)
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    for output, sentence in {
        tmp_path / "file": "file exists and is not a packed set; choose another output",
        tmp_path / "folder": "folder exists and is not a packed set; choose another output",
        tmp_path / "file" / "packed": r"Nothing can be written to .*file/packed \(.*file is a file\): choose another",
        store.path: "is in the prepared set itself: choose another output",
        store.path / "packed": "packed is in the prepared set itself",
        "": "'.' is no name of a file or folder: choose another output",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            pack(store, output, progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_named_and_the_packing_resumes(store, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    with monkeypatch.context() as patch:
        patch.setattr(packed, "_write_pictures", full)
        with pytest.raises(OSError, match=r"No space left on device: .*pictures_00000.arrow"):
            pack(store, tmp_path / "packed", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(packed, "_write_samples", full)
        with pytest.raises(OSError, match=r"No space left on device: .*samples.arrow"):
            pack(store, tmp_path / "packed", progress=False)
    assert len(pack(store, tmp_path / "packed", progress=False)) == len(store)


def test_damage_is_named(store, tmp_path):
    small = pack(store, tmp_path / "packed", shard=7, progress=False)
    second = tmp_path / "packed" / packed.picture_file(1)
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    assert small.images[0].shape == (80, 80, 3)
    with pytest.raises(ValueError, match=r"pictures_00001.arrow is missing or damaged; delete .* run rim-pack again"):
        open_store(small.path).images[8]
    second.unlink()
    with pytest.raises(ValueError, match=r"pictures_00001.arrow is missing or damaged"):
        open_store(small.path).images[8]
    with pytest.raises(ValueError, match="quality is 0"):
        pack(store, tmp_path / "other", quality=0)


def test_a_file_that_is_cut_off_while_it_is_read_is_named(store, tmp_path):
    """A memory map would end the process by SIGBUS."""
    small = pack(store, tmp_path / "packed", shard=7, progress=False)
    small.images[0]
    os.truncate(small.path / packed.picture_file(0), 5000)
    with pytest.raises(ValueError, match=r"pictures_00000.arrow is missing or damaged; delete .* run rim-pack again"):
        small.images[6]


def test_a_store_is_pickled_by_its_path(small):
    small.images[0]
    assert len(pickle.dumps(small)) < 500
    assert np.array_equal(pickle.loads(pickle.dumps(small)).images[3], small.images[3])


def test_the_command_packs_and_says_how_much_smaller_it_is(store, tmp_path):
    done = run_here("pack", store.path, tmp_path / "out")
    assert done.returncode == 0
    assert "18 images" in done.stdout
    assert isinstance(open_store(tmp_path / "out"), PackedStore)
    again = run_here("pack", tmp_path / "out", tmp_path / "x")
    assert again.returncode == 1
    assert "out is packed already" in again.stderr
    assert "Traceback" not in again.stderr
    done = run_here("pack", tmp_path / "nowhere", tmp_path / "x")
    assert done.returncode == 1
    assert "no prepared data in" in done.stderr
    assert "Traceback" not in done.stderr
