"""A page that is still loading says so, and then becomes the page without a request that is lost."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from rim_lightning.commands.page_start import LOADING, StartingApp


class Served:
    """An application in the loop of another thread, as a server runs it."""

    def __init__(self, app):
        self.app = app
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def begin(self):
        """Send the start of the lifespan; return what the application says to it."""
        said = asyncio.get_running_loop().create_future()
        waiting = [{"type": "lifespan.startup"}]

        async def receive():
            return waiting.pop() if waiting else await asyncio.Event().wait()

        async def send(message):
            said.set_result(message["type"])

        self.task = asyncio.create_task(self.app({"type": "lifespan"}, receive, send))
        return await said

    async def end(self):
        """Cancel what still runs, as a loop does at its end."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def get(self):
        """Return status and body of a request."""
        sent = []

        async def send(message):
            sent.append(message)

        await self.app({"type": "http", "method": "GET", "path": "/"}, None, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@contextmanager
def serving(app):
    served = Served(app)
    try:
        yield served
    finally:
        served.run(served.end())
        served.loop.call_soon_threadsafe(served.loop.stop)
        served.thread.join(10)


class SmallPage:
    """A page that counts its starts."""

    def __init__(self, answer="lifespan.startup.complete"):
        self.answer, self.starts = answer, 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            self.starts += 1
            if self.answer is None:
                raise OSError("no space left")
            await send({"type": self.answer})
            await receive()
            raise AssertionError("nobody ends the lifespan")
        await send({"type": "http.response.start", "status": 201})
        await send({"type": "http.response.body", "body": b"the page %d" % self.starts})


def test_a_page_is_announced_until_it_has_started():
    starting, page = StartingApp(), SmallPage()
    with serving(starting) as served:
        assert served.run(served.begin()) == "lifespan.startup.complete"
        assert served.run(served.get()) == (200, LOADING)
        starting.become(page)
        assert served.run(served.get()) == served.run(served.get()) == (201, b"the page 1")


@pytest.mark.parametrize("answer", ["lifespan.startup.failed", None])
def test_a_page_that_cannot_start_never_takes_the_place(answer):
    starting = StartingApp()
    with serving(starting) as served:
        served.run(served.begin())
        with pytest.raises(RuntimeError, match="Gradio could not start the page"):
            starting.become(SmallPage(answer))
        assert served.run(served.get()) == (200, LOADING)


def test_a_page_needs_a_server():
    with pytest.raises(RuntimeError, match="The server of the page has not started"):
        StartingApp().become(SmallPage())
