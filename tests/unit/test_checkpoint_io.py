"""Checkpoint files: whole or not there, and recognised when damaged."""

import hashlib

import pytest
import torch

from rim_lightning.checkpoint_io import DamagedCheckpoint, VerifiedCheckpointIO, verify

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


@pytest.mark.parametrize("died", ["before the file", "after the file"])
def test_dying_between_the_two_renames_leaves_a_valid_checkpoint(tmp_path, died):
    """The digests are replaced first, so that for a moment they belong to a file that is not there yet."""
    path = tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), path)
    old = path.read_bytes()
    io.save_checkpoint(content(2), path)
    if died == "before the file":
        path.write_bytes(old)
    value = io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"][0].item()
    assert value == (1 if died == "before the file" else 2)
    io.save_checkpoint(content(3), path)
    path.write_bytes(old)  # the one before the previous is no longer expected there
    with pytest.raises(DamagedCheckpoint, match="last.ckpt is damaged"):
        verify(path)


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
    verify(path)  # without digests there is nothing to compare with


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    """/dev/full takes no byte: whatever is written there fails as on a full disk."""
    path = tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), path)
    before = path.read_bytes()
    (tmp_path / "last.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(
        OSError, match=r"last.ckpt could not be written \(.*No space left.*earlier one there is untouched"
    ):
        io.save_checkpoint(content(2), path)
    assert path.read_bytes() == before
    verify(path)
    io.save_checkpoint(content(2), path)
    assert io.load_checkpoint(path, weights_only=True)["state_dict"]["weight"][0] == 2


def test_a_removed_checkpoint_leaves_nothing(tmp_path):
    io.save_checkpoint(content(1), tmp_path / "best.ckpt")
    io.remove_checkpoint(tmp_path / "best.ckpt")
    assert not list(tmp_path.iterdir())
