"""rim: a trained model from the command line."""

from __future__ import annotations

from pathlib import Path

import click

from rim_lightning.commands.rim.gallery import enroll, forget, identify
from rim_lightning.commands.rim.hallucinate import hallucinate
from rim_lightning.commands.rim.model import export, info
from rim_lightning.commands.rim.options import EXIT_CODES, Group, _gallery, _model_options, _recognizer
from rim_lightning.commands.rim.verify import verify


@click.group(cls=Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rim-lightning")
def main() -> None:
    """Recognize faces of few pixels with a trained RIM.

    MODEL is a folder that `rim export` made, or a checkpoint of rim-train.

    \b
    Examples:
      rim export outputs/real_128/checkpoints/last.ckpt my_model --people prepared/celeba_128
      rim verify --model my_model cctv.png passport.jpg
      rim enroll --model my_model --index known passports
      rim identify --model my_model --index known cctv_folder
      rim hallucinate --model my_model cctv_folder faces_folder
      rim page --model my_model --index known
      rim info my_model
    """


@click.command(epilog=EXIT_CODES)
@_model_options
@click.option("--index", "-i", help="Gallery to search.")
@click.option("--port", default=7860, show_default=True, help="Of this machine; nobody else can reach it.")
def page(model: Path, device: str, index: str | None, port: int) -> None:
    """Show a page in the browser: compare two pictures, search the gallery, see how small a face may get.

    \b
    Example:
      rim page --model my_model --index known
    """
    from rim_lightning.commands.page import serve

    recognizer = _recognizer(model, device)
    serve(recognizer, _gallery(index, recognizer) if index else None, port)


for command in (verify, enroll, identify, forget, hallucinate, page, export, info):
    main.add_command(command)


if __name__ == "__main__":
    main()
