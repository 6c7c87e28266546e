"""Writing of a store: what is written is read back, also after kills."""

import errno
import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from rim_lightning.data.stores import writer as writer_module
from rim_lightning.data.stores.prepared import hash_by_name, partial_path
from rim_lightning.data.stores.writer import one_writer
from tests.helpers.toy_store import HEADER, contents, fill, sample, writer


def test_what_was_written_is_read_back(tmp_path):
    store = fill(tmp_path / "toy")
    assert store.names == ["a", "b", "d", "e"]
    assert (len(store), store.hr_size, store.margin) == (4, 16, 2)
    for position, index in enumerate((0, 1, 3, 4)):
        np.testing.assert_array_equal(store.images[position], sample(index).image)
    np.testing.assert_array_equal(store.landmarks["five"][2], sample(3).landmarks["five"])
    assert np.isnan(store.landmarks["five"][1]).all()
    np.testing.assert_array_equal(store.parsing[0], sample(0).parsing)
    assert (store.parsing[3] == 255).all()


def test_manifest_names_hashes_and_what_was_skipped(tmp_path):
    manifest = fill(tmp_path / "toy").manifest
    assert manifest["skipped"] == [{"name": "c", "reason": "no face found"}]
    text = "".join(f"{name}\thash{index}\n" for name, index in (("a", 0), ("b", 1), ("d", 3), ("e", 4)))
    assert manifest["source_hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert manifest["split_hash"] == hash_by_name({"e": "train", "a": "train", "d": "test", "b": "val"})
    assert {key: manifest[key] for key in HEADER} == HEADER
    assert [sample["labels"] for sample in manifest["samples"]] == [
        ["five", "parsing"],
        ["parsing"],
        ["five", "parsing"],
        ["five"],
    ]
    assert [sample["detected"] for sample in manifest["samples"]] == [False, False, True, False]
    content = (tmp_path / "toy" / "manifest.json").read_text()  # its digest is kept in results and calibrations
    assert content == json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def test_bytes_do_not_depend_on_the_order_of_arrival(tmp_path):
    fill(tmp_path / "forward")
    fill(tmp_path / "backward", order=(4, 3, 1, 0))
    assert contents(tmp_path / "forward") == contents(tmp_path / "backward")


@pytest.mark.parametrize("torn", ["", '{"index": 3, "file_ha'], ids=["clean", "half a line"])
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(tmp_path, torn):
    fill(tmp_path / "whole")
    first = writer(tmp_path / "killed")
    first.write(0, sample(0))
    first.skip(2, "no face found")
    with (partial_path(tmp_path / "killed") / "journal.jsonl").open("a") as journal:
        journal.write(torn)
    del first  # as a kill does: neither finished nor closed

    second = writer(tmp_path / "killed")
    assert second.pending() == [1, 3, 4]
    for index in second.pending():
        second.write(index, sample(index, five=index != 1, parsing=index != 4))
    second.finish()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not partial_path(tmp_path / "killed").exists()


@pytest.mark.parametrize("lost", ["images.npy", "landmarks_five.npy", "parsing.npy"])
def test_samples_that_a_power_cut_took_are_prepared_again(tmp_path, lost):
    """The journal reached the disk before the arrays: what was written last is zero there."""
    fill(tmp_path / "whole")
    first = writer(tmp_path / "cut")
    for index in (0, 1, 3):
        first.write(index, sample(index, five=index != 1))
    first.skip(2, "no face found")
    first.close()
    array = np.load(partial_path(tmp_path / "cut") / lost, mmap_mode="r+")
    array[3] = 0
    array.flush()

    second = writer(tmp_path / "cut")
    assert second.pending() == [3, 4]
    for index in second.pending():
        second.write(index, sample(index, parsing=index != 4))
    second.finish()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "lost", [b"\0" * 40, b"\xff\xfe", b'{"index": 3}\n', b"[]\n", b'{"index": 9, "checksum": 1}\n']
)
def test_lines_of_the_journal_that_a_power_cut_damaged_are_dropped(tmp_path, lost):
    first = writer(tmp_path / "cut")
    first.write(0, sample(0))
    first.close()
    with (partial_path(tmp_path / "cut") / writer_module.JOURNAL).open("ab") as journal:
        journal.write(lost)
    second = writer(tmp_path / "cut")
    assert second.pending() == [1, 2, 3, 4]
    second.write(1, sample(1))
    second.close()
    assert writer(tmp_path / "cut").pending() == [2, 3, 4]


FINISHING = [("_compact", 2), ("write_manifest", 1), ("os.replace", 1), ("os.replace", 3), ("put_in_place", 1)]


@pytest.mark.parametrize(("step", "call"), FINISHING)
def test_a_run_killed_while_it_finished_resumes(tmp_path, monkeypatch, step, call):
    """It is killed before the given call of a step. Only after the last step does it begin anew."""
    fill(tmp_path / "whole")
    calls = []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    owner, name = (os, "replace") if step == "os.replace" else (writer_module, step)
    original = getattr(owner, name)
    target = writer(tmp_path / "killed")
    for index in (0, 1, 3, 4):
        target.write(index, sample(index, five=index != 1, parsing=index != 4))
    target.skip(2, "no face found")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(KeyboardInterrupt):
            target.finish()
    resumed = writer(tmp_path / "killed")
    if step == "put_in_place":
        assert resumed.pending() == [0, 1, 2, 3, 4]
        return
    assert resumed.pending() == []
    resumed.finish()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_other_settings_begin_a_new_store(tmp_path):
    first = writer(tmp_path / "toy")
    first.write(0, sample(0))
    first.close()
    assert writer(tmp_path / "toy", header={**HEADER, "alignment": "none"}).pending() == [0, 1, 2, 3, 4]


def test_a_damaged_header_begins_anew(tmp_path):
    begun = writer(tmp_path / "toy")
    begun.write(0, sample(0))
    begun.close()
    (begun.partial / "header.json").write_bytes(b"\xff\xfe\0broken")
    assert writer(tmp_path / "toy").pending() == [0, 1, 2, 3, 4]


def test_a_place_that_is_taken_is_not_overwritten(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("years of work")
    with pytest.raises(OSError, match="not empty"):
        fill(tmp_path / "toy")
    assert (tmp_path / "toy" / "thesis.txt").read_text() == "years of work"


def test_compaction_moves_all_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "COMPACT_CHUNK", 2)
    store = fill(tmp_path / "toy", order=(1, 2, 3, 4), skip=0)
    np.testing.assert_array_equal(store.images[:], np.stack([sample(index).image for index in (1, 2, 3, 4)]))


def test_room_is_reserved_before_any_work(tmp_path, monkeypatch):
    """A write into an array on a full disk would kill the process without a word."""

    def full(descriptor, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match=r"No space left on device: .*images.npy"):
            writer(tmp_path / "toy")
        assert not (partial_path(tmp_path / "toy") / writer_module.HEADER).exists()  # nothing to resume
    writer(tmp_path / "toy").close()
    for name in ("images.npy", "landmarks_five.npy", "parsing.npy"):
        status = (partial_path(tmp_path / "toy") / name).stat()
        assert status.st_blocks * 512 >= status.st_size


def test_disks_that_cannot_reserve_are_used_if_they_have_room(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    fill(tmp_path / "toy")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=5000))
    with pytest.raises(OSError, match=r"No space left on device: .*images.npy"):
        writer(tmp_path / "another")


def test_a_place_where_nothing_can_be_made_is_refused_before_the_lock(tmp_path):
    (tmp_path / "file").write_text("content")
    with (
        pytest.raises(ValueError, match=r"Nothing can be written to .*toy \(.*file is a file\)"),
        one_writer(tmp_path / "file" / "toy"),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_names_must_be_unique(tmp_path):
    with pytest.raises(ValueError, match="Two samples are called 'a'"):
        writer(tmp_path / "toy", names=["a", "b", "a", "d", "e"])


def test_finishing_early_or_with_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"5 samples of .* are not prepared yet"):
        writer(tmp_path / "early").finish()
    empty = writer(tmp_path / "empty")
    for index in range(5):
        empty.skip(index, "is empty" if index < 4 else "no face found")
    with pytest.raises(
        ValueError, match=r"None of the 5 .* prepared: is empty \(a, b, c and 1 more\); no face found \(e\)\."
    ):
        empty.finish()
    assert not partial_path(tmp_path / "empty").exists()  # the same command judges the pictures again
