"""Archives are unpacked as plain files into one folder, or not at all."""

import io
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from rim_lightning.data.downloads import unpacking
from rim_lightning.data.downloads.unpacking import unpack

MB = 10**6


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name) if name.endswith("/") else name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info in others:
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content))
    return path


MAKERS = {"set.zip": make_zip, "set.tgz": make_tar}
FORMS = pytest.mark.parametrize("form", MAKERS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def unpack_here(tmp_path: Path, archive: Path, most: int = MB) -> Path:
    unpack(archive, tmp_path / "data" / "place", tmp_path / "scratch", most)
    return tmp_path / "data" / "place"


def refusal(tmp_path: Path, archive: Path, most: int = MB) -> str:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=archive.name) as caught:
        unpack_here(tmp_path, archive, most)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is left, inside or outside of the folder
    return str(caught.value)


@FORMS
def test_the_only_folder_of_an_archive_becomes_the_place(tmp_path, form):
    archive = MAKERS[form](
        tmp_path / form, {"lfw/": b"", "lfw/a/1.jpg": b"one", "lfw/b/2.jpg": b"two", "__MACOSX/x": b""}
    )
    assert contents(unpack_here(tmp_path, archive)) == {"a/1.jpg": b"one", "b/2.jpg": b"two"}
    assert not (tmp_path / "scratch").exists()


@FORMS
def test_several_entries_keep_their_folder(tmp_path, form):
    archive = MAKERS[form](tmp_path / form, {"1.txt": b"one", "a/2.txt": b"two"})
    assert contents(unpack_here(tmp_path, archive)) == {"1.txt": b"one", "a/2.txt": b"two"}


def test_backslashes_of_a_windows_archive_separate_folders(tmp_path):
    archive = make_tar(tmp_path / "set.tgz", {"set\\a\\1.jpg": b"one", "set\\2.jpg": b"two"})
    assert contents(unpack_here(tmp_path, archive)) == {"a/1.jpg": b"one", "2.jpg": b"two"}


@FORMS
@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "a\\..\\..\\evil", "C:\\evil", "C:evil", "\\\\server\\evil"],
)
def test_a_file_outside_of_the_folder_is_refused(tmp_path, form, name):
    archive = MAKERS[form](tmp_path / form, {"good": b"good", name: b"evil"})
    assert "would lie outside of its folder; nothing was unpacked" in refusal(tmp_path, archive)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_anything_but_files_and_folders_is_refused(tmp_path, kind):
    info = tarfile.TarInfo("a")
    info.type, info.linkname = kind, "/etc"
    archive = make_tar(tmp_path / "set.tgz", {"a/passwd": b"evil"}, info)
    assert "has a link, a device or a pipe (a); nothing was unpacked" in refusal(tmp_path, archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_anything_but_files_and_folders_is_refused(tmp_path, kind):
    info = zipfile.ZipInfo("a")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(info, "/etc")
    assert "has a link, a device or a pipe (a)" in refusal(tmp_path, tmp_path / "set.zip")


@FORMS
def test_a_bomb_is_refused_after_the_bytes_that_its_set_has(tmp_path, form, monkeypatch):
    archive = MAKERS[form](tmp_path / form, {"zeros": bytes(30 * MB)})
    assert archive.stat().st_size < MB / 10
    written = []
    copy = unpacking._copy
    monkeypatch.setattr(unpacking, "_copy", lambda *args: written.append(copy(*args)) or written[-1])
    assert "holds more than the 1 MB that its set has; nothing was unpacked" in refusal(tmp_path, archive)
    assert sum(written) <= MB + unpacking.CHUNK


@FORMS
def test_many_small_files_are_counted_together(tmp_path, form):
    files = {f"{index}": bytes(10_000) for index in range(11)}
    archive = MAKERS[form](tmp_path / form, files)
    assert "holds more than" in refusal(tmp_path, archive, most=109_999)
    assert len(contents(unpack_here(tmp_path, archive, most=110_000))) == 11


@FORMS
def test_an_archive_of_too_many_files_is_refused(tmp_path, form, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    archive = MAKERS[form](tmp_path / form, dict.fromkeys("abcd", b""))
    assert "more than 3 files" in refusal(tmp_path, archive)


@FORMS
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_refused(tmp_path, form, share):
    archive = MAKERS[form](
        tmp_path / form, {f"set/{index}": random.Random(index).randbytes(5000) for index in range(20)}
    )
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    assert "cannot be unpacked" in refusal(tmp_path, archive)


def test_a_file_with_wrong_bytes_is_refused(tmp_path):
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a", b"plain bytes")
    archive.write_bytes(archive.read_bytes().replace(b"plain bytes", b"other bytes"))
    assert "Bad CRC-32" in refusal(tmp_path, archive)


def test_a_zip_with_a_password_is_refused(tmp_path):
    archive = make_zip(tmp_path / "set.zip", {"a": b"x" * 50})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag of an encrypted file
    archive.write_bytes(content)
    assert "password required" in refusal(tmp_path, archive)


@FORMS
def test_a_file_that_is_also_a_folder_is_refused(tmp_path, form):
    archive = MAKERS[form](tmp_path / form, {"a": b"file", "a/b": b"in it"})
    assert "as a file and as a folder" in refusal(tmp_path, archive)


@FORMS
def test_an_empty_archive_is_refused(tmp_path, form):
    assert "holds no files" in refusal(tmp_path, MAKERS[form](tmp_path / form, {}))


def test_what_a_killed_command_left_is_done_anew(tmp_path):
    archive = make_zip(tmp_path / "set.zip", {"set/a": b"whole"})
    (tmp_path / "scratch" / "set").mkdir(parents=True)
    (tmp_path / "scratch" / "set" / "a").write_bytes(b"who")
    (tmp_path / "scratch" / "old").write_bytes(b"old")
    assert contents(unpack_here(tmp_path, archive)) == {"a": b"whole"}


def test_no_file_may_be_run_or_belongs_to_another(tmp_path):
    info = tarfile.TarInfo("a")
    info.mode, info.uid = 0o6777, 12345
    archive = make_tar(tmp_path / "set.tgz", {"b": b""}, info)
    status = (unpack_here(tmp_path, archive) / "a").stat()
    assert status.st_uid != 12345
    assert not status.st_mode & 0o7111
