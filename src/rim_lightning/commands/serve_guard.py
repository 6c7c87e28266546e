"""The guard in front of the service: who may ask, and how much a request may hold."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.page_guard import Refusal
from rim_lightning.files import read_utf8

if TYPE_CHECKING:
    from rim_lightning.commands.page_guard import App, Message, Receive, Send

MAX_BODY = 40 * 2**20  # bytes of a request
MAX_HELD = 512 * 2**20  # bytes of all requests that are in memory
MAX_SECONDS = 60  # in which a request must have arrived
SHORTEST_KEY = 24  # letters
HEALTH = "/health"
"""Route that needs no key and tells nothing but that the service lives."""
LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")


def read_keys(file: Path) -> dict[str, str]:
    """Read who may ask: a name and a key in each line, with a space between them.

    Args:
        file: The file. Empty lines and lines that begin with # are skipped.

    Returns:
        Name -> key.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is damaged, a key too short, or there is none.
    """
    keys: dict[str, str] = {}
    for number, line in enumerate(read_utf8(file).removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = line.split()
        key = "".join(rest[:1])
        if len(rest) != 1 or not key.isascii() or len(key) < SHORTEST_KEY:
            raise ValueError(
                f"{file}, line {number}: give a name, a space and a key of at least {SHORTEST_KEY} letters and digits, "
                "such as openssl rand -hex 16 makes."
            )
        if key in keys.values():
            raise ValueError(f"{file}, line {number}: another line has this key: give each name its own.")
        if name in keys:
            raise ValueError(f"{file}, line {number}: there are two keys of the name {name}.")
        keys[name] = key
    if not keys:
        raise ValueError(f"{file} holds no key: give a line with a name, a space and a key.")
    return keys


class ServiceGuard:
    """Guard around the application of the service.

    With keys, each request needs one of them as "Authorization: Bearer <key>". Without keys the service is for programs
    of this machine: requests under another name of it, and those of web pages, are refused.

    Args:
        app: The application. It gets the name of the key as `request.state.user`.
        keys: Name -> key. Empty for a service of this machine.
    """

    def __init__(self, app: App, keys: dict[str, str]) -> None:
        self._app = app
        self._keys = keys
        self._held = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = b""
        try:
            user = self._user(scope)
            async with asyncio.timeout(MAX_SECONDS):
                body = await self._read(receive)
            scope.setdefault("state", {})["user"] = user
            with suppress(Exception):  # which the application has answered and reported: `serve_app.unforeseen`
                await self._app(scope, _replayed(body, receive), send)
        except Refusal as refused:
            await _refuse(send, refused)
        except asyncio.CancelledError:  # the server ends
            with suppress(Exception):  # whose answer has begun
                await _refuse(send, Refusal(503, "The service is ending: repeat the request later."))
            raise
        except TimeoutError:  # only of what is read: the application has none
            await _refuse(send, Refusal(408, f"The request took more than {MAX_SECONDS} seconds: repeat it."))
        finally:
            self._held -= len(body)

    def _user(self, scope: Message) -> str:
        """Return the name of who asks, "" without keys; refuse others."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        fetched_by = headers.get("sec-fetch-site", "none")  # a browser says "none" of what its user typed
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:18]) > MAX_BODY:
            raise _too_long()
        if scope["path"] == HEALTH and scope["method"] == "GET":
            return ""
        if not self._keys:
            host = headers.get("host", "").lower()
            if not LOOPBACK.fullmatch(host) or "origin" in headers or fetched_by != "none":
                raise Refusal(
                    403,
                    "Without --keys this service answers programs of this machine alone, at 127.0.0.1, no web pages.",
                )
            return ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        for name, key in self._keys.items():
            if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), key.encode()):
                return name
        raise Refusal(401, 'This service needs a key: send the header "Authorization: Bearer <key>".')

    async def _read(self, receive: Receive) -> bytes:
        """Read the body of a request, and count its bytes among those in memory until it is answered."""
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refusal(400, "The request ended early: repeat it.")
                chunk = message.get("body", b"")
                body += chunk
                self._held += len(chunk)
                if len(body) > MAX_BODY:
                    raise _too_long()
                if self._held > MAX_HELD:
                    raise Refusal(503, "The service holds too many pictures: repeat the request later.")
                if not message.get("more_body", False):
                    return bytes(body)
        except BaseException:
            self._held -= len(body)
            raise


def _too_long() -> Refusal:
    return Refusal(413, f"The request has more than {MAX_BODY >> 20} MB: send fewer or smaller pictures.")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a function that gives the body that was read, and then what else the client sends."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(send: Send, refused: Refusal) -> None:
    content = json.dumps({"error": refused.sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
