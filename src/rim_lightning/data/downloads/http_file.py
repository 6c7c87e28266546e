"""One file by HTTP: resumed after a cut, and never continued with bytes of another version of the file.

The libraries at hand do less: pooch begins anew after a cut, and gdown ends where a server does not resume.
"""

import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import IO, Any, NamedTuple

from rim_lightning.files import full_disk_named, write_json
from rim_lightning.json_files import read_json
from rim_lightning.runs.progress import progress_bar, say

ATTEMPTS = 5
"""Attempts in a row of which none brings any byte, before the download ends."""
FIRST_WAIT = 1.0
"""Seconds before the second attempt. Every later attempt waits twice as long as the one before."""
SILENCE = 30.0
"""Seconds without a byte after which a connection counts as cut."""
CHUNK = 2**18
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of HTTP that may pass."""
GONE = (404, 410)


class Cut(Exception):
    """A fault of the network that may pass, such as a connection that ended early."""


class Mark(NamedTuple):
    """What is known about the file of which a part has been received.

    Attributes:
        url: Where the part is from.
        validator: Name of this version of the file: its ETag, or the date of its last change. "" if there is none.
        size: Size of the whole file in bytes. None if the server does not say.
    """

    url: str
    validator: str
    size: int | None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not out of HTTPS and not to anything other than HTTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https:",) if req.type == "https" else ("https:", "http:")
        if not newurl.lower().startswith(allowed):
            raise ValueError(f"{req.full_url} leads to {newurl}, which is less safe than {req.type}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def receive_http(url: str, part: Path, has_digest: bool, advice: str) -> None:
    """Receive a file by HTTP. What an earlier call received is continued if the file is still the same.

    Args:
        url: Address, http or https.
        part: File that is received. Beside it lies `<part>.json`, which says what the part is of.
        has_digest: True if the whole file will be compared with a digest. A part is then also continued if the server
            does not name versions of the file.
        advice: What the user can do if the address does not work.

    Raises:
        ValueError: If the address is gone or refused, a certificate is wrong, or it shows a web page.
        OSError: If the network fails, or the disk is full. What has been received stays.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            return _receive_once(url, part, has_digest, advice)
        except Cut as cut:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise OSError(
                    f"{url} cannot be received ({cut}): check the connection, then repeat the command, which continues "
                    f"with what has arrived, or {advice}."
                ) from cut
            wait = FIRST_WAIT * 2 ** (failures - 1)
            say(f"  {cut}; next attempt in {wait:g} s", err=True)
            time.sleep(wait)


def _receive_once(url: str, part: Path, has_digest: bool, advice: str) -> None:
    """Receive what is missing of a file. Raises Cut if the connection ends before the file does."""
    mark, done = _read_mark(part), _size(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "rim-lightning"}
    if mark is not None and mark.url == url and done:
        if done == mark.size:
            return
        if mark.validator:
            headers |= {"Range": f"bytes={done}-", "If-Range": mark.validator}
        elif has_digest:
            headers |= {"Range": f"bytes={done}-"}
    try:
        response = _open(url, headers, advice)
    except urllib.error.HTTPError as error:  # 416: the file has become shorter
        part.unlink()
        raise Cut(f"the server has no byte {done} of it") from error
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise ValueError(f"{response.url} is a web page, not the file: {advice}.")
        resumed = response.status == http.client.PARTIAL_CONTENT
        mark = Mark(url, _validator(response.headers), _whole_size(response, done))
        if resumed and not _continues(response.headers, done):
            part.unlink()
            raise Cut("the server sent another part than the one that is missing")
        if not resumed:
            done = 0
            part.write_bytes(b"")  # first: a mark must never stand beside bytes of another version
            write_json(mark_file(part), mark._asdict())
        if mark.size is not None:
            check_room(part.parent, mark.size - done, url)
        _write(response, part, done, mark.size)


def _write(response: http.client.HTTPResponse, part: Path, done: int, size: int | None) -> None:
    with (
        full_disk_named(part),
        part.open("ab") as file,
        progress_bar(
            total=size, initial=done, unit="B", unit_scale=True, unit_divisor=1024, desc=part.stem.lstrip(".")
        ) as bar,
    ):
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
    if size is not None and done != size:
        raise Cut(f"the connection ended after {done:,} of {size:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    """Read what has arrived. Raises Cut if nothing can arrive any more."""
    try:
        return response.read1(CHUNK)
    except TimeoutError as error:
        raise Cut(f"nothing has arrived for {SILENCE:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise Cut(f"the connection ended early: {error or type(error).__name__}") from error


def _open(url: str, headers: Mapping[str, str], advice: str) -> Any:
    """Return the answer to a request, open. Raises HTTPError for status 416 only."""
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            raise
        if error.code in TRANSIENT:
            raise Cut(f"the server answers {error.code} {error.reason}") from error
        if error.code in GONE:
            raise ValueError(f"{url} does not exist ({error.code}), the file may have moved: {advice}.") from error
        reason = " ".join(str(error.reason).split())  # that of a circle of redirects has lines
        raise ValueError(f"{url} is refused ({error.code} {reason}): {advice}.") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise ValueError(
                f"The certificate of {url} is not trusted ({error.reason.verify_message}): check the clock of this "
                "computer and its certificates (SSL_CERT_FILE names a file of others), or "
                f"{advice}."
            ) from error
        raise Cut(f"no connection: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Cut(f"no answer: {error or type(error).__name__}") from error
    except ValueError as error:  # an address that is none, or a redirect
        raise ValueError(f"{error}: {advice}.") from error


def check_room(folder: Path, size: int, what: str) -> None:
    """Refuse a download for which the disk has no room.

    Args:
        folder: Where it goes. It need not exist.
        size: What it takes, in bytes.
        what: What takes it, for the message.

    Raises:
        ValueError: If the disk has less.
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        raise ValueError(
            f"{what} takes {size / 1e6:,.0f} MB, and the disk of {folder} has {free / 1e6:,.0f} MB left: make room, or "
            "choose another paths.data_dir."
        )


def _validator(headers: Message) -> str:
    """Return the name of the version of a file; "" if the server has none that is good for a part of it."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _whole_size(response: http.client.HTTPResponse, done: int) -> int | None:
    total = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    length = response.headers.get("Content-Length", "")
    if response.status == http.client.PARTIAL_CONTENT:
        return int(total[1]) if total else done + int(length) if length.isdecimal() else None
    return int(length) if length.isdecimal() else None


def _continues(headers: Message, done: int) -> bool:
    return headers.get("Content-Range", "").startswith(f"bytes {done}-")


def mark_file(part: Path) -> Path:
    """Return the file beside a part that says what the part is of."""
    return part.with_name(f"{part.name}.json")


def _read_mark(part: Path) -> Mark | None:
    """Read what a part is of. A damaged mark is none: the file is then received anew."""
    try:
        return Mark(**read_json(mark_file(part), dict))
    except (OSError, ValueError, TypeError):
        return None


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
