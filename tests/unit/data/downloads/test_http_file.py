"""A file by HTTP arrives with its bytes, whatever the server does; or there is one sentence."""

import errno
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading

import numpy as np
import pytest

from rim_lightning.data.downloads import http_file
from rim_lightning.data.downloads.http_file import ATTEMPTS, check_room, receive_http
from tests.helpers.servers import Served, file_server

ADVICE = "give another address by download.files.a.url=<address>"
CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


def receive(server, part, path="/a", has_digest=False):
    receive_http(server.address(path), part, has_digest, ADVICE)


def sentence(server, part, error=ValueError, path="/a") -> str:
    with pytest.raises(error) as caught:
        receive(server, part, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ranges(server) -> list[str | None]:
    return [asked for _, asked, _ in server.requests]


def test_a_file_arrives(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert ranges(server) == [None]


def test_a_file_of_unknown_length_arrives(server, tmp_path):
    server.files["/a"] = Served(CONTENT, sized=False)
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_cut_file_is_continued_where_it_ended(server, tmp_path, waits):
    server.files["/a"] = Served(CONTENT, cuts=[100_000, 50_000])
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.requests == [
        ("/a", None, None), ("/a", "bytes=100000-", '"one"'), ("/a", "bytes=150000-", '"one"')
    ]  # fmt: skip
    assert waits == [1.0, 1.0]  # bytes came: the count of attempts begins again


def test_a_later_call_continues_by_the_date_of_the_last_change(server, tmp_path, monkeypatch):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    server.files["/a"] = Served(CONTENT, etag='W/"weak"', modified=date, cuts=[100_000, 0, 0, 0, 0])
    assert "connection ended after 100,000 of 300,000 bytes" in sentence(server, tmp_path / "part", OSError)
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert server.requests[-1] == ("/a", "bytes=100000-", date)  # a weak ETag does not promise equal bytes


def test_a_whole_part_is_not_asked_for_again(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    receive(server, tmp_path / "part")
    receive(server, tmp_path / "part")
    assert len(server.requests) == 1


def test_a_server_that_cannot_resume_is_received_anew(server, tmp_path):
    server.files["/a"] = Served(CONTENT, ranges=False, cuts=[100_000])
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_file_that_changed_is_received_anew(server, tmp_path):
    server.files["/a"] = Served(OTHER, cuts=[100_000, 0, 0, 0, 0])
    sentence(server, tmp_path / "part", OSError)
    server.files["/a"] = Served(CONTENT, etag='"two"')
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_without_a_name_of_the_version_only_a_digest_allows_to_continue(server, tmp_path):
    for has_digest, expected in ((False, [None, None]), (True, [None, "bytes=100000-"])):
        server.requests.clear()
        server.files["/a"] = Served(CONTENT, etag=None, cuts=[100_000])
        part = tmp_path / f"part_{has_digest}"
        receive(server, part, has_digest=has_digest)
        assert part.read_bytes() == CONTENT
        assert ranges(server) == expected


def test_a_part_of_another_address_is_not_continued(server, tmp_path):
    server.files["/a"] = Served(OTHER, cuts=[100_000, 0, 0, 0, 0])
    server.files["/b"] = Served(CONTENT)
    sentence(server, tmp_path / "part", OSError)
    receive(server, tmp_path / "part", path="/b")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert ranges(server)[-1] is None


@pytest.mark.parametrize(
    "mark", [None, b"", b"{", b'{"url": 1}', b'{"url": "x", "validator": "", "size": 1, "more": 2}']
)
def test_a_part_with_a_missing_or_damaged_mark_is_received_anew(server, tmp_path, mark):
    (tmp_path / "part").write_bytes(OTHER[:1000])
    if mark is not None:
        (tmp_path / "part.json").write_bytes(mark)
    server.files["/a"] = Served(CONTENT)
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_another_part_than_the_missing_one_is_never_joined(server, tmp_path):
    server.files["/a"] = Served(CONTENT, wrong_part=True, cuts=[100_000])
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=100000-", None]


def test_a_file_that_became_shorter_is_received_anew(server, tmp_path):
    server.files["/a"] = Served(OTHER, cuts=[100_000, 0, 0, 0, 0])
    sentence(server, tmp_path / "part", OSError)
    server.files["/a"] = Served(CONTENT[:50_000])
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:50_000]


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(server, tmp_path, waits):
    server.files["/a"] = Served(CONTENT, statuses=[503, 429, 500])
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0]


def test_a_server_that_stays_busy_ends_the_command(server, tmp_path, waits):
    server.files["/a"] = Served(CONTENT, statuses=[503] * ATTEMPTS)
    text = sentence(server, tmp_path / "part", OSError)
    assert "the server answers 503 Service Unavailable" in text
    assert ADVICE in text
    assert len(waits) == ATTEMPTS - 1


def test_a_silent_server_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http_file, "SILENCE", 0.2)
    server.files["/a"] = Served(CONTENT, cuts=[100_000], hold=threading.Event())
    receive(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("status", "expected"), [(404, "may have moved"), (410, "may have moved"), (403, "is refused (403 Forbidden)")]
)
def test_an_address_that_does_not_work_says_what_to_do(server, tmp_path, waits, status, expected):
    server.files["/a"] = Served(CONTENT, statuses=[status])
    text = sentence(server, tmp_path / "part")
    assert expected in text
    assert text.endswith(f"{ADVICE}.")
    assert waits == []
    assert not (tmp_path / "part").exists()


def test_a_moved_file_is_followed_and_continued(server, tmp_path):
    server.files["/old"] = Served(leads_to=server.address("/a"))
    server.files["/a"] = Served(CONTENT, cuts=[100_000])
    receive(server, tmp_path / "part", path="/old")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert [path for path, _, _ in server.requests] == ["/old", "/a", "/old", "/a"]
    assert server.requests[-1] == ("/a", "bytes=100000-", '"one"')


@pytest.mark.parametrize(
    ("place", "expected"), [("file:///etc/passwd", "not allowed"), ("ftp://127.0.0.1/a", "less safe than http")]
)
def test_a_redirect_out_of_http_is_refused(server, tmp_path, place, expected):
    server.files["/a"] = Served(leads_to=place)
    assert expected in sentence(server, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_redirects_in_a_circle_end(server, tmp_path):
    server.files["/a"] = Served(leads_to=server.address("/a"))
    assert "is refused (302" in sentence(server, tmp_path / "part")


def test_a_web_page_is_refused_and_what_was_received_stays(server, tmp_path):
    server.files["/a"] = Served(CONTENT, cuts=[100_000, 0, 0, 0, 0])
    sentence(server, tmp_path / "part", OSError)
    server.files["/a"] = Served(b"<html>quota exceeded</html>", kind="text/html; charset=utf-8", ranges=False)
    assert "is a web page, not the file" in sentence(server, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT[:100_000]


def test_no_network_is_one_sentence(tmp_path, waits):
    with file_server() as server:
        gone = server
    text = sentence(gone, tmp_path / "part", OSError)
    assert "no connection: " in text
    assert "check the connection" in text
    assert len(waits) == ATTEMPTS - 1


def test_a_server_without_tls_is_one_sentence(server, tmp_path):
    server.files["/a"] = Served(CONTENT)
    with pytest.raises(OSError, match=r"cannot be received \(no connection: .*(SSL|ssl)"):
        receive_http(server.address("/a").replace("http:", "https:"), tmp_path / "part", False, ADVICE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate by openssl")
def test_a_certificate_that_nobody_signed_is_refused_at_once(server, tmp_path, waits):
    names = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate"), "-subj", "/CN=127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.files["/a"] = Served(CONTENT)
    with pytest.raises(ValueError, match=r"is not trusted .*self.signed.*SSL_CERT_FILE"):
        receive_http(server.address("/a").replace("http:", "https:"), tmp_path / "part", False, ADVICE)
    assert server.requests == []
    assert waits == []


def test_a_redirect_from_https_to_http_is_refused():
    request = http_file.urllib.request.Request("https://example.org/a")
    with pytest.raises(ValueError, match="less safe than https"):
        http_file._Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/a")


def test_a_full_disk_is_named_before_the_first_byte(server, tmp_path, monkeypatch):
    server.files["/a"] = Served(CONTENT)
    monkeypatch.setattr(http_file.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 299_999))
    text = sentence(server, tmp_path / "part")
    assert "make room, or choose another paths.data_dir" in text
    assert (tmp_path / "part").read_bytes() == b""


def test_a_disk_that_fills_up_is_no_fault_of_the_network(server, tmp_path, monkeypatch, waits):
    server.files["/a"] = Served(CONTENT)

    def full(response):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(http_file, "_read", full)
    with pytest.raises(OSError, match="No space left") as caught:
        receive(server, tmp_path / "part")
    assert caught.value.filename == str(tmp_path / "part")
    assert waits == []


def test_room_is_looked_for_on_the_disk_of_a_folder_that_is_not_there(tmp_path):
    check_room(tmp_path / "a" / "b", 1, "A set")
    with pytest.raises(
        ValueError, match=r"^A set takes 1,000,000,000,000 MB, and the disk of .*a/b has [\d,]+ MB left"
    ):
        check_room(tmp_path / "a" / "b", 10**18, "A set")


def test_a_killed_download_is_continued_with_the_same_bytes(server, tmp_path):
    server.files["/a"] = Served(CONTENT, cuts=[120_000], hold=threading.Event())
    part = tmp_path / "part"
    code = (
        "import sys; from pathlib import Path; from rim_lightning.data.downloads.http_file import receive_http\n"
        "receive_http(sys.argv[1], Path(sys.argv[2]), False, '')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, server.address("/a"), str(part)])
    while not part.is_file() or part.stat().st_size == 0:
        assert process.poll() is None
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size
    assert 0 < arrived <= 120_000
    assert part.read_bytes() == CONTENT[:arrived]
    assert json.loads((tmp_path / "part.json").read_text())["size"] == len(CONTENT)
    receive(server, part)
    assert part.read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={arrived}-"]
