"""`rim page`: the model in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from rim_lightning.commands.rim.options import EXIT_CODES, load_recognizer, model_options, open_gallery


@click.command(epilog=EXIT_CODES)
@model_options
@click.option("--index", "-i", help="Gallery to search.")
@click.option("--port", default=7860, show_default=True, help="Port on this machine. Other machines cannot reach it.")
def page(model: Path, device: str, index: str | None, port: int) -> None:
    """Show the model in the browser.

    The page compares two pictures, searches the gallery and shows how small a face may get.

    \b
    Example:
      rim page --model my_model --index known
    """
    from rim_lightning.commands.page import serve

    recognizer = load_recognizer(model, device)
    serve(recognizer, open_gallery(index, recognizer) if index else None, port)
