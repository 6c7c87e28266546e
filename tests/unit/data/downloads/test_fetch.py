"""The files of a set lie in their places with their digests, or not at all."""

import hashlib
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rim_lightning.data.downloads import drive_file
from rim_lightning.data.downloads import fetch as fetch_module
from rim_lightning.data.downloads.fetch import RemoteFile, check_before, fetch, missing_files
from rim_lightning.extras import MissingExtra
from tests.helpers.servers import Served
from tests.unit.data.downloads.test_unpacking import contents, make_tar, make_zip

DRIVE = "https://drive.google.com/uc?id=abc"


def remote(server, name="pairs.txt", place="lfw/pairs.txt", **changes) -> RemoteFile:
    url = server.address(f"/{name}") if server else DRIVE
    file = RemoteFile("download.files.a", name, url, place, None, None, None, None)
    return file._replace(**changes)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_set_lies_where_it_is_read(server, tmp_path):
    archive = make_tar(tmp_path / "made.tgz", {"lfw_funneled/A/A_0001.jpg": b"face"}).read_bytes()
    server.files = {"/lfw.tgz": Served(archive, cuts=[100]), "/pairs.txt": Served(b"10\t300\n")}
    images = remote(server, "lfw.tgz", "lfw/lfw_funneled", unpacked_megabytes=1, sha256=sha256(archive))
    pairs = remote(server, md5=hashlib.md5(b"10\t300\n").hexdigest().upper())
    data = tmp_path / "data"
    assert missing_files([images, pairs], data) == [images, pairs]
    fetch([images, pairs], data)
    expected = {"lfw/lfw_funneled/A/A_0001.jpg": b"face", "lfw/pairs.txt": b"10\t300\n", "downloads/.lock": b""}
    assert contents(data) == expected
    assert missing_files([images, pairs], data) == []
    asked = len(server.requests)
    fetch([images, pairs], data)
    assert len(server.requests) == asked
    assert contents(data) == expected


@pytest.mark.parametrize("digest", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"sha256": "0" * 64, "md5": "0" * 32}])
def test_a_wrong_file_is_set_aside_and_named(server, tmp_path, digest):
    server.files["/pairs.txt"] = Served(b"wrong")
    for aside in ("pairs.txt.wrong", "pairs.txt.wrong_2"):
        with pytest.raises(
            ValueError, match=r"it is not used and lies in .*download\.files\.a\.url=<address>"
        ) as caught:
            fetch([remote(server, **digest)], tmp_path)
        assert str(tmp_path / "downloads" / aside) in str(caught.value)
        assert (tmp_path / "downloads" / aside).read_bytes() == b"wrong"
    assert {file.name for file in (tmp_path / "downloads").iterdir()} == {
        ".lock",
        "pairs.txt.wrong",
        "pairs.txt.wrong_2",
    }
    assert not (tmp_path / "lfw").exists()
    server.files["/pairs.txt"] = Served(b"right")
    fetch([remote(server, sha256=sha256(b"right"))], tmp_path)
    assert (tmp_path / "lfw" / "pairs.txt").read_bytes() == b"right"


def test_without_a_published_digest_that_of_the_file_is_printed(server, tmp_path, capsys):
    server.files["/pairs.txt"] = Served(b"text")
    fetch([remote(server)], tmp_path)
    assert f"SHA-256 {sha256(b'text')}" in capsys.readouterr().out
    fetch([remote(server, place="other.txt", sha256=sha256(b"text"))], tmp_path)
    assert "SHA-256" not in capsys.readouterr().out


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>", b"\n <HTML>quota"])
def test_a_web_page_that_calls_itself_a_file_is_refused(server, tmp_path, page):
    server.files["/pairs.txt"] = Served(page)
    with pytest.raises(ValueError, match="is a web page; it is not used"):
        fetch([remote(server)], tmp_path)
    assert not (tmp_path / "lfw").exists()


def test_a_file_that_was_saved_by_hand_is_checked_and_used(server, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "pairs.txt").write_bytes(b"saved")
    fetch([remote(server, sha256=sha256(b"saved"))], tmp_path)
    assert (tmp_path / "lfw" / "pairs.txt").read_bytes() == b"saved"
    assert server.requests == []
    (tmp_path / "downloads" / "pairs.txt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"pairs\.txt\.wrong"):
        fetch([remote(server, place="other.txt", sha256=sha256(b"saved"))], tmp_path)


def test_a_file_that_is_not_there_says_where_to_save_it(server, tmp_path):
    with pytest.raises(ValueError, match=r"may have moved: give another address by download\.files\.a\.url=") as caught:
        fetch([remote(server)], tmp_path)
    assert f"or save the file as {tmp_path}/downloads/pairs.txt." in str(caught.value)


def test_what_was_received_stays_if_a_later_file_fails(server, tmp_path):
    server.files = {"/a": Served(b"first"), "/b": Served(b"second", statuses=[404])}
    files = [remote(server, "a", "a"), remote(server, "b", "b")]
    with pytest.raises(ValueError, match="may have moved"):
        fetch(files, tmp_path)
    fetch(files, tmp_path)
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"firstsecond"
    assert [path for path, _, _ in server.requests] == ["/a", "/b", "/b"]


def test_a_hostile_archive_leaves_nothing_in_its_place(server, tmp_path):
    server.files["/set.zip"] = Served(make_zip(tmp_path / "set.zip", {"../evil": b"evil"}).read_bytes())
    with pytest.raises(ValueError, match="outside of its folder"):
        fetch([remote(server, "set.zip", "set", unpacked_megabytes=1)], tmp_path / "data")
    assert set(contents(tmp_path / "data")) == {"downloads/.lock", "downloads/set.zip"}


@pytest.mark.parametrize(
    ("key", "path"),
    [("place", "../a"), ("place", "/a"), ("place", "C:a"), ("name", "a/b"), ("name", "../a"), ("name", "..")],
)
def test_a_place_outside_of_the_data_is_refused(tmp_path, key, path):
    with pytest.raises(ValueError, match=rf"download\.files\.a\.{key} is "):
        missing_files([remote(None, **{key: path})], tmp_path)


def test_room_is_needed_for_archives_and_for_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "require_extra", lambda extra, purpose: None)
    free = SimpleNamespace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    files = [remote(None, "a.zip", "a", megabytes=2, unpacked_megabytes=3), remote(None, "b", "b", megabytes=1)]
    with pytest.raises(ValueError, match=r"^LFW takes 6 MB, and the disk of .* has 5 MB left"):
        check_before(files, tmp_path, "LFW")
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / ".a.zip.part").write_bytes(bytes(1_000_000))
    check_before(files, tmp_path, "LFW")  # a megabyte of it has arrived
    (tmp_path / "downloads" / ".a.zip.part").unlink()
    (tmp_path / "downloads" / "b").touch()
    check_before(files, tmp_path, "LFW")  # as well as if a file is whole


def test_google_drive_needs_an_extra_only_if_something_is_received(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(MissingExtra, match=r"^Google Drive needs gdown.*rim-lightning\[download\]"):
        check_before([remote(None)], tmp_path, "CelebA")
    with pytest.raises(MissingExtra):
        fetch([remote(None)], tmp_path)
    (tmp_path / "downloads" / "pairs.txt").touch()
    check_before([remote(None)], tmp_path, "CelebA")


class DownloadError(Exception):
    pass


class FileURLRetrievalError(DownloadError):
    pass


@pytest.fixture
def gdown(monkeypatch):
    """A package gdown whose `download` is replaced by the test."""
    exceptions = SimpleNamespace(DownloadError=DownloadError, FileURLRetrievalError=FileURLRetrievalError)
    package = SimpleNamespace(exceptions=exceptions, download=None)
    monkeypatch.setitem(sys.modules, "gdown", package)
    monkeypatch.setattr(drive_file, "require_extra", lambda extra, purpose: None)
    return package


def test_a_file_of_google_drive_is_received_by_gdown(tmp_path, gdown):
    def download(url, output, progress, **options):
        progress(2, None)
        progress(5, 5)
        Path(output).write_bytes(b"drive")
        assert (url, options["resume"], options["use_cookies"]) == (DRIVE, True, False)

    gdown.download = download
    fetch([remote(None, sha256=sha256(b"drive"))], tmp_path)
    assert (tmp_path / "lfw" / "pairs.txt").read_bytes() == b"drive"


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        (
            FileURLRetrievalError("Cannot retrieve\n\nthe link"),
            ValueError,
            "too many people may have asked for it today",
        ),
        (DownloadError("Server did not honor\nthe range"), OSError, r"\(Server did not honor the range\).*begin anew"),
        (ConnectionError("no route"), OSError, r"\(no route\): check the connection"),
    ],
)
def test_a_fault_of_google_drive_is_one_sentence(tmp_path, gdown, error, kind, expected):
    def download(**options):
        raise error

    gdown.download = download
    with pytest.raises(kind, match=expected) as caught:
        fetch([remote(None)], tmp_path)
    assert "\n" not in str(caught.value)
    assert f"save the file as {tmp_path}/downloads/pairs.txt" in str(caught.value)


def test_gdown_itself_continues_a_part(server, tmp_path, monkeypatch):
    """Runs where the extra is installed: the real package against a server on this computer."""
    pytest.importorskip("gdown")
    monkeypatch.setattr(fetch_module, "is_drive", lambda url: True)
    content = random.Random(0).randbytes(2_000_000)
    server.files["/pairs.txt"] = Served(content, cuts=[1_500_000, 0, 0, 0, 0])
    with pytest.raises(OSError, match=r"Download is incomplete|failed after 4 retries"):
        fetch([remote(server)], tmp_path)
    fetch([remote(server, sha256=sha256(content))], tmp_path)
    assert (tmp_path / "lfw" / "pairs.txt").read_bytes() == content
    assert server.requests[-1][1:] == ("bytes=1048576-", '"one"')  # whole pieces of 2^19 bytes have arrived
    assert set(contents(tmp_path)) == {"lfw/pairs.txt", "downloads/.lock"}
