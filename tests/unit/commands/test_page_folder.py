"""The folder of the page: private, gone at the end, and leftovers of killed pages removed."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import pytest

from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.locks import process_lock


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # as at the start of a program
    return tmp_path


def test_the_folder_is_private_and_goes(temporary):
    mask = os.umask(0)
    try:
        with private_folder(unused_folder()) as folder:
            assert folder.parent == temporary
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "deep" / "deeper").mkdir(parents=True)
            (folder / "deep" / "deeper" / "face.png").write_bytes(b"x")
    finally:
        os.umask(mask)
    assert not list(temporary.iterdir())


def test_the_folder_goes_after_an_error(temporary):
    with pytest.raises(KeyboardInterrupt), private_folder(unused_folder()):
        raise KeyboardInterrupt
    assert not list(temporary.iterdir())


def test_the_folder_goes_while_something_writes_into_it(temporary, monkeypatch):
    remove, calls = shutil.rmtree, []

    def remove_while_a_question_writes(folder, **named):
        calls.append(folder)
        remove(folder, **named)
        if len(calls) < 3:
            folder.mkdir()
            (folder / "face.png").write_bytes(b"x")

    monkeypatch.setattr(shutil, "rmtree", remove_while_a_question_writes)
    with private_folder(unused_folder()) as folder:
        pass
    assert calls == [folder] * 3
    assert not list(temporary.iterdir())


def test_leftovers_of_killed_pages_go(temporary):
    script = (
        "import os\n"
        "from rim_lightning.commands.page_folder import private_folder, unused_folder\n"
        "with private_folder(unused_folder()) as folder: (folder / 'face.png').write_bytes(b'x'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    (left,) = temporary.iterdir()
    others = [temporary / name for name in ("rim_page_that_starts", "another_page_1", "rim_page_alive")]
    for other in others:
        other.mkdir()
    (others[0] / "page.lock").touch()  # of a page that has not yet taken it
    (others[1] / "page.held").touch()
    (others[2] / "page.held").touch()
    lock = process_lock(others[2] / "page.lock")
    with lock, private_folder(unused_folder()) as folder:
        assert not left.exists()
        assert sorted(temporary.iterdir()) == sorted([folder, *others])


def test_two_pages_leave_each_other_alone(temporary):
    with private_folder(unused_folder()) as first, private_folder(unused_folder()) as second:
        assert first.is_dir()
        assert second.is_dir()
        assert first != second
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_no_other_folder_is_taken_without_a_word(tmp_path, monkeypatch, name):
    for other in {"TMPDIR", "TEMP", "TMP"} - {name}:
        monkeypatch.delenv(other, raising=False)
    (tmp_path / "file").touch()
    for unusable in (tmp_path / "missing", tmp_path / "file"):
        monkeypatch.setenv(name, str(unusable))
        monkeypatch.setattr(tempfile, "tempdir", None)
        with (
            pytest.raises(OSError, match=f"^{name} is {unusable}, where no file can be written: make room"),
            private_folder(unused_folder()),
        ):
            pass


def test_a_full_folder_is_not_taken(temporary, monkeypatch):
    write, full = os.write, [OSError(errno.ENOSPC, "No space left on device")]

    def write_where_there_is_room(descriptor, content):
        if full:
            raise full.pop()
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", write_where_there_is_room)
    with pytest.raises(OSError, match=f"^TMPDIR is {temporary}, where no file can be written"):
        unused_folder()


def test_a_chosen_folder_is_taken_however_it_is_written(temporary, monkeypatch):
    (temporary / "chosen").mkdir()
    monkeypatch.chdir(temporary)
    for chosen in ("chosen", "./chosen/", f"{temporary}//chosen/../chosen", "."):
        monkeypatch.setenv("TMPDIR", chosen)
        monkeypatch.setattr(tempfile, "tempdir", None)
        with private_folder(unused_folder()) as folder:
            assert folder.parent == temporary / ("" if chosen == "." else "chosen")
