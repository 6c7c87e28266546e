"""Checkpoint files: whole or not there, and recognized when damaged."""

import hashlib
import os
from contextlib import contextmanager

import pytest
import torch

from rim_lightning.files import whole_file
from rim_lightning.networks.checkpoints import DamagedCheckpoint, check_digest
from rim_lightning.training import checkpoint_io
from rim_lightning.training.checkpoint_io import VerifiedCheckpointIO

io = VerifiedCheckpointIO()


def content(value):
    return {"state_dict": {"weight": torch.full((1000,), float(value))}}


def test_what_is_saved_is_loaded_and_its_digest_lies_beside_it(tmp_path):
    path = tmp_path / "deep" / "last.ckpt"
    io.save_checkpoint(content(1), path)
    assert torch.equal(io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"], torch.ones(1000))
    (digest,) = path.with_name("last.ckpt.sha256").read_text().split()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


class Died(Exception):
    """The process, at that moment."""


@pytest.mark.parametrize("moment", range(3))
def test_dying_at_any_rename_leaves_a_valid_checkpoint_time_and_again(tmp_path, monkeypatch, moment):
    """Renames of a save: the digests, the checkpoint, the digests again; the process dies before one of them, twice."""
    path = tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), path)
    first = path.read_bytes()
    rename = os.replace
    for value in (2, 3):
        renamed = []

        def rename_or_die(source, target, renamed=renamed):
            if len(renamed) == moment:
                raise Died
            renamed.append(target)
            rename(source, target)

        monkeypatch.setattr(os, "replace", rename_or_die)
        with pytest.raises(Died):
            io.save_checkpoint(content(value), path)
        monkeypatch.setattr(os, "replace", rename)
        found = io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"][0].item()
        assert found == (value if moment == 2 else 1)
    io.save_checkpoint(content(4), path)
    assert io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"][0] == 4
    path.write_bytes(first)  # once a later one is whole, an earlier one is not expected there any more
    with pytest.raises(DamagedCheckpoint, match=r"last.ckpt is damaged"):
        check_digest(path)


@pytest.mark.parametrize("damage", ["cut", "one bit"])
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCheckpoint, match=r"last.ckpt is damaged.*best.ckpt"):
        io.load_checkpoint(path)
    path.with_name("last.ckpt.sha256").unlink()
    check_digest(path)  # without digests there is nothing to compare with


@contextmanager
def on_a_full_disk(path):
    with whole_file(path) as part:
        part.symlink_to("/dev/full")
        yield part


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    """/dev/full takes no byte: whatever is written there fails as on a full disk."""
    path = tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), path)
    before = path.read_bytes()
    monkeypatch.setattr(checkpoint_io, "whole_file", on_a_full_disk)
    with pytest.raises(
        OSError, match=r"last.ckpt could not be written \(.*No space left.*earlier one there is untouched"
    ):
        io.save_checkpoint(content(2), path)
    assert path.read_bytes() == before
    check_digest(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]
    monkeypatch.undo()
    io.save_checkpoint(content(2), path)
    assert io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"][0] == 2


def test_a_removed_checkpoint_leaves_nothing(tmp_path):
    io.save_checkpoint(content(1), tmp_path / "best.ckpt")
    io.remove_checkpoint(tmp_path / "best.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_killed_process_goes_with_the_next_save(tmp_path):
    """Checkpoints are large: a run that is killed often must not fill the disk."""
    (tmp_path / ".last.ckpt.1.part").write_bytes(b"half a checkpoint")
    io.save_checkpoint(content(1), tmp_path / "last.ckpt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]
