"""The server of the page: on this machine alone, behind its guard, until a signal ends it."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.http_server import HttpServer, listening, noted_signals
from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.page_guard import PageGuard
from rim_lightning.commands.page_start import StartingApp
from rim_lightning.commands.rim.model_choice import ModelChoice, open_gallery
from rim_lightning.commands.rim.output import say
from rim_lightning.extras import require_extra
from rim_lightning.runs.signals import Interrupted

if TYPE_CHECKING:
    from rim_lightning.commands.page import Page

ADDRESS = "127.0.0.1"


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
    with listening(ADDRESS, port) as connection:
        port, token = connection.getsockname()[1], secrets.token_urlsafe(32)
        starting = StartingApp()
        guard = PageGuard(starting, folder, token, port, 0)
        address = f"http://{ADDRESS}:{port}/?token={token}"
        server = HttpServer(guard, connection)
        try:
            server.wait_until_started()
            say(f"Loading the page: PyTorch, the model, then Gradio. It will be at {address}", err=True)
            # This takes seconds. The folder is not made yet, so that a signal may end the program at once.
            page = _loaded(model, index, demo, calibration, folder)
            from rim_lightning.commands.page_tabs import build_app

            with noted_signals() as received, private_folder(folder):
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
