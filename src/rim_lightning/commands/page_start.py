"""The page while it loads: a browser that opens its address early is told so. Imports neither torch nor Gradio."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from rim_lightning.commands.page_guard import App, Message, Receive, Send

LOADING = (
    b'<!doctype html><meta charset="utf-8"><title>rim page</title><meta http-equiv="refresh" content="1">'
    b'<p style="font-family: system-ui, sans-serif; margin: 3rem">The page is loading PyTorch, the model and Gradio. '
    b"It appears here by itself.</p>"
)
"""What every address shows meanwhile; the browser asks again each second."""


class StartingApp:
    """Application that says that the page is loading, until the page itself takes its place.

    It answers one server, whose loop must run before `become` is called.
    """

    def __init__(self) -> None:
        self._app: App | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifespan: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            self._loop = asyncio.get_running_loop()
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif self._app is not None:
            await self._app(scope, receive, send)
        else:
            kind, length = (b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(LOADING))
            await send({"type": "http.response.start", "status": 200, "headers": [kind, length]})
            await send({"type": "http.response.body", "body": LOADING})

    def become(self, app: App) -> None:
        """Start the page in the loop of the server, and let it answer from now on. Called in another thread.

        Args:
            app: The page.

        Raises:
            RuntimeError: If the page cannot be started.
        """
        if self._loop is None:
            raise RuntimeError("The server of the page has not started.")
        asyncio.run_coroutine_threadsafe(self._start(app), self._loop).result()
        self._app = app

    async def _start(self, app: App) -> None:
        """Begin the lifespan of the page, which stays until the loop ends."""
        started: asyncio.Future[MutableMapping[str, Any]] = asyncio.get_running_loop().create_future()
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # it is never shut down: the end of the page does not wait
            asked = True
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            if not started.done():
                started.set_result(message)

        async def live() -> None:
            await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

        self._lifespan = asyncio.create_task(live())
        either: list[asyncio.Future[Any]] = [self._lifespan, started]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not started.done() or started.result()["type"] != "lifespan.startup.complete":
            cause = self._lifespan.exception() if self._lifespan.done() else None
            raise RuntimeError("Gradio could not start the page.") from cause
