"""The guard in front of the page: who may ask, which routes there are, and how much a request may hold.

It is an ASGI application around that of the page and does not import Gradio. A request that it refuses never reaches
Gradio. One that it lets through is written anew: only what was checked is passed on.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from rim_lightning.commands.errors import sentence_of
from rim_lightning.commands.page_question import SESSION, Cancellation, Question, parse_question, paths_in
from rim_lightning.data.images import ImageError, picture_header
from rim_lightning.files import printable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_FILE = 20 * 2**20  # bytes of a picture
MAX_QUESTION = 2**20  # bytes of any other request
MULTIPART = 2**14  # bytes of a request around its picture
MAX_PIXELS = 50_000_000  # of a picture; finding its faces takes about 1 GB
MAX_STORED = 2**30  # bytes of all files that the page has stored
MAX_REQUESTS = 32  # at a time, with the streams that stay open
MAX_SECONDS = 60  # that a request may take, but for the streams
MAX_ADDRESS = 2**13  # bytes of path and query
MAX_REASON = 200  # letters of the cause of an error

FILE_ROUTE = "/gradio_api/file="
UPLOAD_ROUTE = "/gradio_api/upload"
QUESTION_ROUTES: dict[str, type[Question | Cancellation]] = {
    "/gradio_api/queue/join": Question,
    "/gradio_api/cancel": Cancellation,
}
STREAMING = re.compile(rf"/gradio_api/(heartbeat/{SESSION}|queue/data|upload_progress)")
ROUTES = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/(assets|static)/[\w./-]{1,200}"
        rf"|/gradio_api/(app_id|file=.*)|{STREAMING.pattern}",
        re.ASCII,
    ),
    "POST": re.compile("|".join([UPLOAD_ROUTE, *QUESTION_ROUTES])),
}
"""What the page in the browser asks for. Gradio has about 60 routes more, which do not exist here."""

HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")  # any port: that of an ssh tunnel is another one
BOUNDARY = re.compile(r'multipart/form-data; ?boundary="?([\w\'()+,./:=?-]{1,70})"?')
PASSED_HEADERS = {b"host", b"accept", b"accept-encoding", b"accept-language", b"range", b"user-agent"}
ADDED_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
FAILED = (
    "The page could not answer this request: reload the page. If it happens again, the terminal of the page says why."
)
ENTRY = b'<!doctype html><title>rim page</title><script>location.replace("/")</script><a href="/">Open the page</a>'
"""What the printed address shows. It does not redirect: after a click in another site a browser would leave out the
cookie."""


class Refusal(Exception):
    """A request that is not let through.

    Attributes:
        status: HTTP status code.
        sentence: Reason, and what to do.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def refusal_after(error: Exception) -> Refusal:
    """Return what is answered after an unforeseen error. The terminal shows its cause in one line, without a trace."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    reason = f"A request failed ({type(causes[-1]).__name__}: {sentence_of(causes[-1])[:MAX_REASON]})."
    logging.getLogger("uvicorn.error").error(printable(reason))
    if any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in causes):
        return Refusal(507, "The disk for temporary files is full: make room there, then repeat the request.")
    return Refusal(500, FAILED)


class Upload(NamedTuple):
    """The file of an upload.

    Attributes:
        suffix: Ending of its name with the dot, or "".
        content: Its bytes.
    """

    suffix: str
    content: bytes


class PageGuard:
    """Guard around the application of the page.

    Args:
        app: The application.
        folder: Folder in which it stores uploads and results.
        token: Secret of the address. Whoever opens the address with it gets it as a cookie.
        port: Port of the page. Pages on other ports have another cookie.
        questions: Number of questions that the application answers.

    Attributes:
        questions: The same; it may change when the application does.
    """

    def __init__(self, app: App, folder: Path, token: str, port: int, questions: int) -> None:
        self._app = app
        self.questions = questions
        self._folder = folder
        self._token = token.encode()
        self._cookie = f"rim_page_{port}"
        self._requests = 0
        self._uploading = asyncio.Lock()
        self._upload_names: set[str] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send)
        try:
            await self._handle(scope, receive, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except TimeoutError:
            await answer.refuse(Refusal(408, f"The request took more than {MAX_SECONDS} seconds: repeat it."))
        except Exception as error:
            await answer.refuse(refusal_after(error))

    async def _handle(self, scope: Message, receive: Receive, answer: _Answer) -> None:
        """Check who asks and for what, in the order of what an attacker may learn."""
        headers = _headers(scope)
        _check_sender(headers)
        if self._enters(scope):
            cookie = f"{self._cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict"
            await answer.send_page(ENTRY, [(b"set-cookie", cookie.encode())])
            return
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") or not self._knows(headers):
            raise Refusal(403, "This page opens only at the address with a token that `rim page` has printed: use it.")
        self._check_route(scope)
        if self._requests >= MAX_REQUESTS:
            raise Refusal(503, f"The page is answering {MAX_REQUESTS} requests already: close other windows of it.")
        self._requests += 1
        try:
            await self._pass_on(scope, headers, receive, answer)
        finally:
            self._requests -= 1

    async def _pass_on(self, scope: Message, headers: dict[str, str], receive: Receive, answer: _Answer) -> None:
        """Check what a request brings, and let the application answer it."""
        path = scope["path"]
        async with asyncio.timeout(MAX_SECONDS) as limit:
            if scope["method"] == "GET":
                body = await _read(headers, receive, 0)
                if STREAMING.fullmatch(path):
                    limit.reschedule(None)
                await self._call(scope, None, body, receive, answer)
            elif path == UPLOAD_ROUTE:
                async with self._uploading:  # one file at a time is in memory
                    body = await _read(headers, receive, MAX_FILE + MULTIPART)
                    kind, body = await self._checked_upload(headers, body)
                    await self._call(scope, kind, body, receive, answer)
            else:
                body = self._checked_question(path, headers, await _read(headers, receive, MAX_QUESTION))
                await self._call(scope, "application/json", body, receive, answer)

    async def _call(self, scope: Message, kind: str | None, body: bytes, receive: Receive, answer: _Answer) -> None:
        """Let the application answer a request with a checked body, and with those headers alone that it needs."""
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        headers = [(name, value) for name, value in scope["headers"] if name.lower() in PASSED_HEADERS]
        if kind is not None:
            headers += [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await self._app({**scope, "headers": headers}, replay, answer.send)
        if answer.failed:
            raise RuntimeError("Gradio answered that it failed")

    def _enters(self, scope: Message) -> bool:
        """Report whether a request is for the printed address, with the right token."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        # In Latin-1 every byte is a letter, as the query and as what its escapes stand for.
        tokens = parse_qs(scope["query_string"].decode("latin-1"), encoding="latin-1").get("token", [])
        return len(tokens) == 1 and hmac.compare_digest(tokens[0].encode("latin-1"), self._token)

    def _knows(self, headers: dict[str, str]) -> bool:
        """Report whether a request has the cookie with the token."""
        pairs = [pair.strip().partition("=") for pair in headers.get("cookie", "").split(";")]
        values = [value.encode("latin-1") for name, _, value in pairs if name == self._cookie]
        return any(hmac.compare_digest(value, self._token) for value in values)

    def _check_route(self, scope: Message) -> None:
        """Refuse routes that the page does not have, and files that it has not stored."""
        method, path = scope["method"], scope["path"]
        if len(path) + len(scope["query_string"]) > MAX_ADDRESS:
            raise Refusal(414, f"The address has more than {MAX_ADDRESS} bytes: reload the page.")
        if method not in ROUTES or not ROUTES[method].fullmatch(path):
            raise Refusal(404, "The page has no such address: reload it.")
        if path.startswith(FILE_ROUTE):
            file = path.removeprefix(FILE_ROUTE)
            inside = file == os.path.normpath(file) and file.startswith(f"{self._folder}{os.sep}")
            if not (inside and os.path.isfile(file)):
                raise Refusal(403, "The page has stored no such file: give the picture again.")

    async def _checked_upload(self, headers: dict[str, str], body: bytes) -> tuple[str, bytes]:
        """Return content type and body of an upload, made anew around its picture.

        The picture gets a random name, by which questions name it.
        """
        upload = _only_file(headers.get("content-type", ""), body)
        await asyncio.to_thread(_check_size, upload.content)
        if await asyncio.to_thread(_bytes_below, self._folder) + len(upload.content) > MAX_STORED:
            raise Refusal(
                507, f"The page has stored {MAX_STORED // 2**20} MB: wait until they are removed, at most ten minutes."
            )
        name = secrets.token_hex(16) + upload.suffix
        self._upload_names.add(name)
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + upload.content + f"\r\n--{boundary}--\r\n".encode()
        return f"multipart/form-data; boundary={boundary}", body

    def _checked_question(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return a question, written anew. Every file that it names must be an upload of this page."""
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "The request is no JSON: reload the page.")
        try:
            question = parse_question(body, QUESTION_ROUTES[path])
        except ValueError:
            raise Refusal(400, "The request is damaged: reload the page.") from None
        if question["fn_index"] >= self.questions:
            raise Refusal(400, "The page has no such question: reload it.")
        if not all(self._is_upload(path) for path in paths_in(question)):
            raise Refusal(403, "The page has stored no such file: give the picture again.")
        return json.dumps(question).encode()

    def _is_upload(self, path: object) -> bool:
        """Report whether a path is that of an upload. Whether there is such a file is not looked up."""
        if not isinstance(path, str) or path != os.path.normpath(path):
            return False
        return Path(path).parent.parent == self._folder and Path(path).name in self._upload_names


class _Answer:
    """The answer to one request: the application's without permissions for other sites, or a sentence.

    Attributes:
        failed: True if the application answered that it failed. That is not sent: it says neither why nor what to do.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self.failed = False

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self.failed = message["status"] == 500
            self._started = not self.failed
            headers = [pair for pair in message.get("headers", []) if not pair[0].lower().startswith(b"access-control")]
            message = {**message, "headers": headers + ADDED_HEADERS}
        if not self.failed:
            await self._send(message)

    async def send_page(self, content: bytes, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
        """Send a whole answer. Only `ENTRY` is HTML."""
        kind = b"text/html; charset=utf-8" if content is ENTRY else b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), *headers, *ADDED_HEADERS]
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})

    async def refuse(self, refusal: Refusal) -> None:
        """Send the sentence of a refusal, if nothing else has been sent."""
        if not self._started:
            await self.send_page(f"{refusal.sentence}\n".encode(), [(b"connection", b"close")], refusal.status)


def _headers(scope: Message) -> dict[str, str]:
    """Return the headers of a request. One that stands twice is refused, except for cookies."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "cookie" and name in headers:
            headers[name] += f"; {value}"
        elif name in headers:
            raise Refusal(400, "The request has a header twice: reload the page.")
        else:
            headers[name] = value
    return headers


def _check_sender(headers: dict[str, str]) -> None:
    """Refuse a request under a foreign name of this machine, or from the page of another site."""
    host = headers.get("host", "")
    if not HOST.fullmatch(host):
        raise Refusal(403, "The page answers only at 127.0.0.1: use the address that `rim page` has printed.")
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        raise Refusal(403, "Another site asked for this page: use the address that `rim page` has printed.")


async def _read(headers: dict[str, str], receive: Receive, limit: int) -> bytes:
    """Read the body of a request, of at most `limit` bytes."""
    too_long = Refusal(413, f"The request has more than {limit} bytes: give a picture of at most {MAX_FILE >> 20} MB.")
    reported = headers.get("content-length", "0")
    if not reported.isdecimal() or len(reported) > 12 or int(reported) > limit:
        raise too_long
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "The request ended early: repeat it.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_long
        if not message.get("more_body", False):
            return bytes(body)


def _only_file(content_type: str, body: bytes) -> Upload:
    """Return the one file of a multipart body."""
    damaged = Refusal(400, "The upload is damaged: give the picture again.")
    boundary = BOUNDARY.fullmatch(content_type)
    if boundary is None:
        raise damaged
    start, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    if len(parts) > 2:  # the last one is the end
        raise Refusal(413, f"The upload has {len(parts) - 1} parts: give one picture at a time.")
    if start or len(parts) < 2 or not parts[1].startswith(b"--"):
        raise damaged
    head, _, content = parts[0].partition(b"\r\n\r\n")
    name = re.search(rb'filename="([^"]*)"', head)
    if name is None:
        raise damaged
    suffix = re.search(rb"\.[A-Za-z0-9]{1,5}$", name[1])
    return Upload(suffix[0].decode() if suffix else "", content)


def _check_size(content: bytes) -> None:
    """Refuse files of too many bytes and pictures of too many pixels, by their header alone."""
    if len(content) > MAX_FILE:
        raise Refusal(413, f"The picture has more than {MAX_FILE >> 20} MB: reduce it.")
    try:
        header = picture_header(content, "The picture")
    except ImageError as error:
        raise Refusal(413, str(error)) from None
    except Exception:  # no picture; Pillow's decoders raise errors of any kind. The answer to the question will say so
        return
    if header.width * header.height > MAX_PIXELS:
        raise Refusal(413, f"The picture has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")


def _bytes_below(folder: Path) -> int:
    """Return the bytes of all files in a folder and below. Files that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total
