"""The server of the page: on this machine alone, behind its guard, until a signal ends it."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.page import ADDRESS, Page
from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.page_guard import PageGuard
from rim_lightning.commands.page_report import ReportMaker
from rim_lightning.extras import require_extra
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.runs.signals import Interrupted

if TYPE_CHECKING:
    from types import FrameType

    from rim_lightning.commands.rim.model_choice import ModelChoice

SECONDS_TO_LOOK = 0.1  # between two looks for a signal
SECONDS_TO_END = 3  # in which open connections are closed


def serve(
    recognizer: Recognizer,
    gallery: Gallery | None,
    port: int,
    model: ModelChoice,
    calibration: Path | None,
    index: str | None,
) -> None:
    """Show the page on this machine until the user stops it. Uploads are removed then.

    Args:
        recognizer: Model with thresholds.
        gallery: Gallery to search. None for a page without a search.
        port: Port on this machine. 0 takes a free one.
        model: How the model was chosen, for reports.
        calibration: File of the thresholds, for reports. None for those of the model.
        index: Address of the gallery, for reports.

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
    page = Page(recognizer, gallery, ReportMaker(recognizer, gallery, model, calibration, index, folder))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # Gradio reads it when it is imported
    with _listening(port) as connection:
        # This import takes seconds. The folder is not made yet, so that a signal may end the program at once.
        from rim_lightning.commands.page_tabs import build_app

        with _noted_signals() as received, private_folder(folder):
            port, token = connection.getsockname()[1], secrets.token_urlsafe(32)
            app = build_app(page)
            guard = PageGuard(app, folder, token, port, app.state.questions)
            address = f"http://{ADDRESS}:{port}/?token={token}"
            shown = _run(guard, connection, f"Page: {address}   (Ctrl+C ends it)", received)
    if received[0] != signal.SIGINT:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"ended by {name}; the uploads are removed.", received[0])
    if not shown:
        raise KeyboardInterrupt


def _run(guard: PageGuard, connection: socket.socket, sentence: str, received: list[int]) -> bool:
    """Run the server until a signal is received. Return True if the sentence with its address was printed.

    The server has a thread of its own, and so have the questions. They end with the program: the end does not wait for
    an answer.
    """
    import uvicorn

    # Forwarded addresses are ignored: nobody stands in front of the page.
    config = uvicorn.Config(guard, ws="none", log_level="warning", access_log=False, proxy_headers=False)
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
                raise RuntimeError("The server of the page has ended by itself.")
    finally:
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that is cut off now
        server.should_exit = server.force_exit = True
        thread.join(SECONDS_TO_END)
    return shown


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
