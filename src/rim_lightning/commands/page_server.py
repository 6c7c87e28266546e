"""The server of the page: on this machine alone, behind its guard, until a signal ends it."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.page_guard import PageGuard
from rim_lightning.commands.page_start import StartingApp
from rim_lightning.commands.rim.model_choice import ModelChoice, open_gallery
from rim_lightning.commands.rim.output import say
from rim_lightning.extras import require_extra
from rim_lightning.runs.signals import Interrupted

if TYPE_CHECKING:
    from types import FrameType

    from rim_lightning.commands.page import Page

ADDRESS = "127.0.0.1"
SECONDS_TO_LOOK = 0.1  # between two looks for a signal
SECONDS_TO_START = 30  # in which the server must answer
SECONDS_TO_END = 3  # in which open connections are closed


def serve(model: ModelChoice, index: str | None, port: int, demo: bool, calibration: Path | None) -> None:
    """Show the page on this machine until the user stops it. Uploads are removed then.

    The address answers at once, and says what is being loaded until the page is there.

    Args:
        model: The choice of the model.
        index: Address of the gallery. None for a page without a search.
        port: Port on this machine. 0 takes a free one.
        demo: True to permit thresholds that were chosen on synthetic faces.
        calibration: File of the thresholds. None for those of the model.

    Raises:
        Interrupted: If SIGTERM or SIGHUP ended it.
        KeyboardInterrupt: If Ctrl-C ended it before its address was printed.
        OSError: If the port is taken, or the folder for temporary files cannot be used.
        MissingExtra: If Gradio is not installed.
        ValueError: If the model has no thresholds.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"  # Gradio would keep faces in the storage of the browser
    require_extra("page", "The page")
    folder = unused_folder()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # Gradio reads it when it is imported
    with _listening(port) as connection:
        port, token = connection.getsockname()[1], secrets.token_urlsafe(32)
        starting = StartingApp()
        guard = PageGuard(starting, folder, token, port, 0)
        address = f"http://{ADDRESS}:{port}/?token={token}"
        server = _Server(guard, connection)
        try:
            server.check_started()
            say(f"Loading the page: PyTorch, the model, then Gradio. It will be at {address}", err=True)
            # This takes seconds. The folder is not made yet, so that a signal may end the program at once.
            page = _loaded(model, index, demo, calibration, folder)
            from rim_lightning.commands.page_tabs import build_app

            with _noted_signals() as received, private_folder(folder):
                app = build_app(page)
                guard.questions = app.state.questions
                starting.become(app)
                shown = not received
                if shown:
                    print(f"Page: {address}   (Ctrl+C ends it)", flush=True)
                try:
                    server.wait(received)
                finally:
                    server.end()  # while signals are noted, and before the folder is removed
        finally:
            server.end()
    if received[0] != signal.SIGINT:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"ended by {name}; the uploads are removed.", received[0])
    if not shown:
        raise KeyboardInterrupt


def _loaded(model: ModelChoice, index: str | None, demo: bool, calibration: Path | None, folder: Path) -> Page:
    """Load all that the page answers with."""
    recognizer = model.load(demo, calibration)
    from rim_lightning.commands.page import Page
    from rim_lightning.commands.page_report import ReportMaker

    gallery = open_gallery(index, recognizer) if index else None
    return Page(recognizer, gallery, ReportMaker(recognizer, gallery, model, calibration, index, folder))


class _Server:
    """A server with a thread of its own; so have the questions. The end of the program waits for no answer.

    Args:
        guard: What it serves.
        connection: Where it listens.
    """

    def __init__(self, guard: PageGuard, connection: socket.socket) -> None:
        import uvicorn

        # Forwarded addresses are ignored: nobody stands in front of the page.
        config = uvicorn.Config(guard, ws="none", log_level="warning", access_log=False, proxy_headers=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [connection]}, daemon=True)
        self._thread.start()

    def check_started(self) -> None:
        """Wait until the server answers."""
        last = time.monotonic() + SECONDS_TO_START
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > last:
                raise RuntimeError("The server of the page could not start.")
            time.sleep(SECONDS_TO_LOOK / 10)

    def wait(self, received: list[int]) -> None:
        """Wait for a signal."""
        while not received:
            self._thread.join(SECONDS_TO_LOOK)
            if not self._thread.is_alive():
                raise RuntimeError("The server of the page has ended by itself.")

    def end(self) -> None:
        """End the server."""
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that is cut off now
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(SECONDS_TO_END)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on a port of this machine."""
    try:
        connection = socket.create_server((ADDRESS, port))
    except (OSError, OverflowError):
        raise OSError(f"Port {port} cannot be used, perhaps another page is there: give another by --port.") from None
    with connection:
        yield connection


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
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
