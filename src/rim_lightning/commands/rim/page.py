"""`rim page`: the model in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from rim_lightning.commands.rim.model_choice import ModelChoice, model_options
from rim_lightning.commands.rim.options import EXIT_CODES, calibration_option, demo_option, optional_index_option
from rim_lightning.extras import require_extra


@click.command(epilog=EXIT_CODES)
@model_options
@optional_index_option
@click.option(
    "--port",
    default=7860,
    show_default=True,
    help="Port on this machine, 0 for a free one. Other machines cannot reach it.",
)
@demo_option
@calibration_option
def page(model: ModelChoice, index: str | None, port: int, demo: bool, calibration: Path | None) -> None:
    """Show the model in the browser.

    The page compares two pictures, searches the gallery, follows the faces of a clip, and shows how small a face may
    get. It makes reports of its answers. A search needs --index, a clip the extra video.

    \b
    Example:
      rim page --model my_model --index known
    """
    require_extra("page", "The page")
    from rim_lightning.commands.page_server import serve

    serve(model, index, port, demo, calibration)
