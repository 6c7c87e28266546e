"""The server of the page: on this machine alone, behind its guard, until a signal ends it."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from rim_lightning.commands.http_server import listening, noted_signals, run_server
from rim_lightning.commands.page import ADDRESS, Page
from rim_lightning.commands.page_folder import private_folder, unused_folder
from rim_lightning.commands.page_guard import PageGuard
from rim_lightning.commands.page_report import ReportMaker
from rim_lightning.extras import require_extra
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.runs.signals import Interrupted

if TYPE_CHECKING:
    from rim_lightning.commands.rim.model_choice import ModelChoice


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
    with listening(ADDRESS, port) as connection:
        # This import takes seconds. The folder is not made yet, so that a signal may end the program at once.
        from rim_lightning.commands.page_tabs import build_app

        with noted_signals() as received, private_folder(folder):
            port, token = connection.getsockname()[1], secrets.token_urlsafe(32)
            app = build_app(page)
            guard = PageGuard(app, folder, token, port, app.state.questions)
            address = f"http://{ADDRESS}:{port}/?token={token}"
            shown = run_server(guard, connection, f"Page: {address}   (Ctrl+C ends it)", received)
    if received[0] != signal.SIGINT:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"ended by {name}; the uploads are removed.", received[0])
    if not shown:
        raise KeyboardInterrupt
