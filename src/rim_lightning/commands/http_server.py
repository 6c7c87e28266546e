"""A server of this program that runs until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

BACKLOG = 64  # connections that are taken at a time, before they are counted
SECONDS_TO_LOOK = 0.1  # between two looks for a signal
SECONDS_TO_END = 3  # in which open connections are closed


class HttpServer:
    """A server with a thread of its own; so have the questions. The end of the program waits for no answer.

    Args:
        app: The application (ASGI).
        connection: Where it listens.
    """

    def __init__(self, app: Any, connection: socket.socket) -> None:
        import uvicorn

        from rim_lightning.commands.http_connection import PromptConnection

        # Forwarded addresses are ignored: nobody is let in by one. What is no HTTP is answered without a warning.
        config = uvicorn.Config(
            app,
            http=PromptConnection,
            ws="none",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            backlog=BACKLOG,
        )
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it writes pages if there are no more files to open
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [connection]}, daemon=True)
        self._thread.start()

    def wait_until_started(self, received: Sequence[int] = ()) -> None:
        """Wait until the server answers, or a signal is received.

        Args:
            received: Gets the numbers of signals, see `noted_signals`.
        """
        while not (self._server.started or received):
            self._look()

    def wait(self, received: Sequence[int]) -> None:
        """Wait until a signal is received."""
        while not received:
            self._look()

    def end(self) -> None:
        """End the server."""
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that is cut off now
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(SECONDS_TO_END)

    def _look(self) -> None:
        self._thread.join(SECONDS_TO_LOOK)
        if not self._thread.is_alive():
            raise RuntimeError("The server has ended by itself.")


def run_server(app: Any, connection: socket.socket, sentence: str, received: Sequence[int]) -> None:
    """Run a server until a signal is received.

    Args:
        app: The application (ASGI).
        connection: Where it listens.
        sentence: What is printed when it answers.
        received: Gets the numbers of signals, see `noted_signals`.
    """
    server = HttpServer(app, connection)
    try:
        server.wait_until_started(received)
        if not received:
            print(sentence, flush=True)
        server.wait(received)
    finally:
        server.end()


@contextmanager
def listening(address: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on a port.

    Args:
        address: Address of this machine at which it listens.
        port: The port, 0 for a free one.

    Raises:
        OSError: If that cannot be.
    """
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.create_server((address, port), family=family)
    except (OSError, OverflowError):
        raise OSError(
            f"Port {port} of {address} cannot be used, perhaps another program is there: give another by --port."
        ) from None
    with connection:
        yield connection


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list that gets the numbers of Ctrl-C, SIGTERM and SIGHUP as they arrive. Windows has no SIGHUP.

    Nothing is raised: libraries may swallow an exception, and between two lines one could leave the folder behind.
    """
    signums = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    received: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        received.append(signum)

    handlers = {signum: signal.signal(signum, note) for signum in signums}
    try:
        yield received
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler or signal.SIG_DFL)
