"""The folder of the page: private, gone at the end, and leftovers of killed pages removed."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile

import pytest

from rim_lightning.commands.page_folder import private_folder
from rim_lightning.locks import process_lock


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_private_and_goes(temporary):
    mask = os.umask(0)
    try:
        with private_folder() as folder:
            assert folder.parent == temporary
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "deep" / "deeper").mkdir(parents=True)
            (folder / "deep" / "deeper" / "face.png").write_bytes(b"x")
    finally:
        os.umask(mask)
    assert not list(temporary.iterdir())


def test_the_folder_goes_after_an_error(temporary):
    with pytest.raises(KeyboardInterrupt), private_folder():
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
    with private_folder() as folder:
        pass
    assert calls == [folder] * 3
    assert not list(temporary.iterdir())


def test_leftovers_of_killed_pages_go(temporary):
    script = (
        f"import os, tempfile; tempfile.tempdir = {str(temporary)!r}\n"
        "from rim_lightning.commands.page_folder import private_folder\n"
        "with private_folder() as folder: (folder / 'face.png').write_bytes(b'x'); os._exit(9)"
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
    with lock, private_folder() as folder:
        assert not left.exists()
        assert sorted(temporary.iterdir()) == sorted([folder, *others])


def test_two_pages_leave_each_other_alone(temporary):
    with private_folder() as first, private_folder() as second:
        assert first.is_dir()
        assert second.is_dir()
        assert first != second
    assert not list(temporary.iterdir())
