"""A server of this program that runs until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

SECONDS_TO_LOOK = 0.1  # between two looks for a signal
BACKLOG = 64  # connections that are taken at a time, before they are counted
SECONDS_TO_END = 3  # in which open connections are closed


def run_server(app: Any, connection: socket.socket, sentence: str, received: list[int]) -> bool:
    """Run the server until a signal is received. Return True if the sentence with its address was printed.

    The server has a thread of its own, and so have the questions. They end with the program: the end does not wait for
    an answer.

    Args:
        app: The application (ASGI).
        connection: Where it listens.
        sentence: What is printed when it answers.
        received: Gets the numbers of signals, see `noted_signals`.
    """
    import uvicorn

    from rim_lightning.commands.http_connection import PromptConnection

    # Forwarded addresses are ignored: nobody is let in by an address. What is no HTTP is answered without a warning.
    config = uvicorn.Config(
        app,
        http=PromptConnection,
        ws="none",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        backlog=BACKLOG,
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it writes pages if a system has no more files to open
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [connection]}, daemon=True)
    thread.start()
    shown = False
    try:
        while not received:
            if not shown and server.started:
                print(sentence, flush=True)
                shown = True
            thread.join(SECONDS_TO_LOOK)
            if not thread.is_alive():
                raise RuntimeError("The server has ended by itself.")
    finally:
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that is cut off now
        server.should_exit = server.force_exit = True
        thread.join(SECONDS_TO_END)
    return shown


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
