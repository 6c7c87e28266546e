import ast
import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rim_lightning import files
from rim_lightning.data.images import read_content
from rim_lightning.files import (
    check_writable,
    content_digest,
    file_digest,
    put_folder_in_place,
    read_bytes,
    real_path,
    whole_file,
    write_json,
    write_json_once,
    write_text,
)

SOURCE = Path(__file__).resolve().parents[2] / "src"

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2, B.1


@pytest.fixture
def calls(monkeypatch):
    """Names of what is synchronized and renamed, in order."""
    calls = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def path_of(descriptor):
        return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))

    def spy_fsync(descriptor):
        calls.append(("fsync", path_of(descriptor)))
        fsync(descriptor)

    def spy_replace(source, target):
        calls.append(("replace", os.path.basename(source), os.path.basename(target)))
        replace(source, target)

    def spy_link(source, target):
        calls.append(("link", os.path.basename(source), os.path.basename(target)))
        link(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    monkeypatch.setattr(os, "link", spy_link)
    return calls


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "figures.txt"
    with whole_file(path) as part:
        part.write_text("1.5")
        assert not path.exists()
        assert part.parent == tmp_path
    assert path.read_text() == "1.5"
    with whole_file(str(path)) as part:
        part.write_text("2.5")
        assert path.read_text() == "1.5"
    assert path.read_text() == "2.5"
    assert os.listdir(tmp_path) == ["figures.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failing_block_keeps_the_earlier_content_and_leaves_no_part(tmp_path, error):
    path = tmp_path / "figures.txt"
    path.write_text("earlier")

    def write_half():
        with whole_file(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["figures.txt"]


@pytest.mark.parametrize("write", [files.write_text, files.write_json, files.write_json_once])
def test_a_full_disk_is_named_by_the_file(tmp_path, monkeypatch, write):
    """The system names no file when it refuses to write."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/figures'"):
        write(tmp_path / "figures", "1")


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_earlier_content(tmp_path):
    path = tmp_path / "figures.txt"
    path.write_text("earlier")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["figures.txt"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "missing" / "figures.txt", "1.5")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the names of open files are read from /proc")
def test_the_file_is_on_the_disk_before_it_is_renamed_and_its_folder_afterwards(tmp_path, calls):
    write_text(tmp_path / "figures.txt", "1.5")
    part = f".figures.txt.{os.getpid()}.part"
    assert calls == [("fsync", part), ("replace", part, "figures.txt"), ("fsync", tmp_path.name)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the names of open files are read from /proc")
def test_a_file_written_once_is_on_the_disk_before_it_has_its_name_and_its_folder_afterwards(tmp_path, calls):
    write_json_once(tmp_path / "plan.json", {})
    part = f".plan.json.{os.getpid()}.part"
    assert calls == [("fsync", part), ("link", part, "plan.json"), ("fsync", tmp_path.name)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the names of open files are read from /proc")
@pytest.mark.parametrize("has_sync", [True, False])
def test_a_folder_is_on_the_disk_before_it_has_its_name(calls, tmp_path, monkeypatch, has_sync):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.jpg").write_bytes(b"face")
    if has_sync:
        monkeypatch.setattr(os, "sync", lambda: calls.append(("sync",)))
    else:  # as on Windows
        monkeypatch.delattr(os, "sync")
    put_folder_in_place(tmp_path / "part", tmp_path / "place")
    before = [("sync",)] if has_sync else [("fsync", "a.jpg"), ("fsync", "part")]
    assert calls == [*before, ("replace", "part", "place"), ("fsync", tmp_path.name)]
    assert (tmp_path / "place" / "a.jpg").read_bytes() == b"face"


def test_a_folder_that_cannot_be_opened_is_skipped(tmp_path, monkeypatch):
    opened = os.open

    def refuse_folders(path, *arguments):
        if os.path.isdir(path):
            raise PermissionError(path)
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", refuse_folders)
    write_text(tmp_path / "figures.txt", "1.5")
    assert (tmp_path / "figures.txt").read_text() == "1.5"


def test_json_is_readable_by_people_and_ends_its_last_line(tmp_path):
    write_json(tmp_path / "figures.json", {"tar": 0.5})
    assert (tmp_path / "figures.json").read_text() == '{\n  "tar": 0.5\n}\n'


def test_content_that_is_no_json_keeps_the_earlier_file(tmp_path):
    write_json(tmp_path / "figures.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "figures.json", {"tar": object()})
    with pytest.raises(TypeError):
        write_json_once(tmp_path / "plan.json", object())
    assert json.loads((tmp_path / "figures.json").read_text()) == [1]
    assert os.listdir(tmp_path) == ["figures.json"]


def test_the_first_of_several_writers_stays(tmp_path):
    write_json_once(tmp_path / "plan.json", "first")
    write_json_once(tmp_path / "plan.json", "second")
    assert json.loads((tmp_path / "plan.json").read_text()) == "first"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_disk_without_links_will_do(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    test_the_first_of_several_writers_stays(tmp_path)


def test_of_processes_that_write_at_once_one_stays_and_all_see_the_same(tmp_path):
    code = """
import json, os, sys, time
from pathlib import Path
from rim_lightning.files import write_json_once

folder, name = Path(sys.argv[1]), sys.argv[2]
(folder / f"{name}.ready").touch()
while not (folder / "start").exists():
    time.sleep(0.001)
write_json_once(folder / "plan.json", {"writer": name, "rows": list(range(2000))})
print(json.loads((folder / "plan.json").read_text())["writer"])
"""
    names = ["a", "b", "c"]
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    while not all((tmp_path / f"{name}.ready").exists() for name in names):
        assert all(writer.poll() is None for writer in writers)
    (tmp_path / "start").touch()
    seen = {writer.communicate(timeout=60)[0].strip() for writer in writers}
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(seen) == 1
    assert seen == {json.loads((tmp_path / "plan.json").read_text())["writer"]}
    assert not list(tmp_path.glob(".*"))


def test_the_digest_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc") == file_digest(str(tmp_path / "abc")) == ABC
    content = bytes(range(256)) * 5000  # more than one block of reading
    (tmp_path / "large").write_bytes(content)
    assert file_digest(tmp_path / "large") == hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once_and_again_after_a_change(tmp_path, monkeypatch):
    reads = []
    digest = hashlib.file_digest
    monkeypatch.setattr(files.hashlib, "file_digest", lambda *a: reads.append(1) or digest(*a))
    path = tmp_path / "weights"
    path.write_bytes(b"abd")
    assert file_digest(path) == file_digest(path) != ABC
    assert len(reads) == 1
    before = path.stat()
    path.write_bytes(b"abc")  # of the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file_digest(path) == ABC
    assert len(reads) == 2
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.write_bytes(b"abcd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same time, of another size
    assert file_digest(path) == hashlib.sha256(b"abcd").hexdigest()


def test_the_digest_of_a_missing_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere"):
        file_digest(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        file_digest(tmp_path)


def test_json_is_strict_and_unicode_whatever_the_locale(tmp_path):
    """RFC 8259 has no NaN; a reader that refuses it must be able to read every file."""
    write_json(tmp_path / "figures.json", {"nan": float("nan"), "rows": [(1.5, float("-inf"))], "name": "jos\u00e9"})

    def refuse(word):
        raise AssertionError(word)

    content = json.loads((tmp_path / "figures.json").read_bytes(), parse_constant=refuse)
    assert content == {"nan": None, "rows": [[1.5, None]], "name": "jos\u00e9"}
    write_text(tmp_path / "text", "\u00e9")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9"


def test_a_place_for_an_output_is_checked_and_nothing_is_left_behind(tmp_path):
    (tmp_path / "file").write_text("content")
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "new" / "folders" / "new")
    check_writable(tmp_path / "file")  # the file itself can be replaced
    for path, sentence in {
        tmp_path / "file" / "new": r"Nothing can be written to .*file/new \(.*file is a file\): choose another",
        tmp_path / ("x" * 250): r"Nothing can be written to .*x \(File name too long\): choose another",
        "/": "'/' is no name of a file or folder: choose another output",
        ".": "'.' is no name of a file or folder: choose another output",
        "": "'.' is no name of a file or folder: choose another output",
        " ": "' ' is no name of a file or folder: choose another output",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            check_writable(path)
    with pytest.raises(ValueError, match=r"choose another paths\.teachers_dir"):
        check_writable(tmp_path / "file" / "new", "paths.teachers_dir")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(
        ValueError, match=r"Nothing can be written to .*new \(Permission denied\): choose another output"
    ):
        check_writable(tmp_path / "new")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_text_is_utf8_on_every_system(file):
    """Without an encoding, Windows reads and writes text in the one of its language."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        mode = [argument.value for argument in call.args[1:2] if isinstance(argument, ast.Constant)]
        is_text = name in ("read_text", "write_text") or (name == "open" and isinstance(call.func, ast.Name))
        if not is_text or any(isinstance(value, str) and "b" in value for value in mode):
            continue
        is_ours = name == "write_text" and isinstance(call.func, ast.Name)  # `files.write_text`
        assert is_ours or any(keyword.arg == "encoding" for keyword in call.keywords), f"line {call.lineno}"


def test_links_that_go_in_a_circle_have_a_path(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert real_path(tmp_path / "loop") == tmp_path / "loop"
    assert real_path(tmp_path / "link" / "x") == tmp_path / "there" / "x"
    for file in SOURCE.rglob("*.py"):  # `Path.resolve` raises RuntimeError
        for line in file.read_text().splitlines():
            assert ".resolve()" not in line or "__file__" in line, (file, line)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file of which the system reads nothing")
@pytest.mark.parametrize("read", [read_bytes, content_digest, read_content], ids=lambda read: read.__name__)
def test_a_disk_that_fails_while_it_is_read_is_named(read):
    """The system names no file there, as on a damaged disk."""
    with pytest.raises(OSError, match="Input/output error") as failed:
        read(Path("/proc/self/mem"))
    assert failed.value.filename == "/proc/self/mem"


def test_a_small_limit_is_named_in_bytes(tmp_path):
    file = tmp_path / "digest"
    file.write_text("a" * 1001)
    with pytest.raises(ValueError, match="has more than 1,000 bytes, which is no such file: remove it"):
        read_bytes(file, "remove it", 1000)
