"""`rim serve`: the model for other programs, over HTTP."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from rim_lightning.commands.rim.model_choice import ModelChoice, model_options, open_gallery
from rim_lightning.commands.rim.options import EXIT_CODES, Place, calibration_option, demo_option, optional_index_option
from rim_lightning.commands.rim.output import say
from rim_lightning.extras import require_extra

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(epilog=EXIT_CODES)
@model_options
@optional_index_option
@click.option("--host", default=LOOPBACK[0], show_default=True, help="Address of this machine that others may reach.")
@click.option("--port", default=8000, show_default=True, help="Port, 0 for a free one.")
@click.option("--keys", type=Place(), help="File with a name and a key in each line: who may ask. Other hosts need it.")
@click.option("--log", type=Place(), help="Add a line to this file for each answer, with digests of the pictures.")
@demo_option
@calibration_option
def serve(
    model: ModelChoice,
    index: str | None,
    host: str,
    port: int,
    keys: Path | None,
    log: Path | None,
    demo: bool,
    calibration: Path | None,
) -> None:
    """Answer questions of other programs, over HTTP.

    The service verifies, identifies, enrolls, forgets and hallucinates; /openapi.json describes it. Pictures stay in
    memory. A gallery is made if there is none at --index. An answer is sent when its line in --log, and its change of
    the gallery, are on the disk.

    \b
    Examples:
      rim serve --index known --log decisions.jsonl
      curl -F probe=@cctv.png -F gallery=@passport.jpg http://127.0.0.1:8000/v1/verify
      rim serve --host 0.0.0.0 --keys keys.txt --index known
      curl -H "Authorization: Bearer $KEY" -F probe=@cctv.png http://server:8000/v1/identify
    """
    require_extra("serve", "The service")
    from rim_lightning.commands.serve_guard import ServiceGuard, read_keys

    known = {} if keys is None else read_keys(keys)
    if keys is not None and log is not None and os.path.realpath(keys) == os.path.realpath(log):
        raise click.UsageError(f"{log} holds the keys: give another file for --log.")
    if host not in LOOPBACK and not known:
        raise click.UsageError(f"--host {host} can be reached by others: say by --keys who may ask.")
    say("Loading the model ...", err=True)
    recognizer = model.load(demo, calibration)
    recognizer.required_calibration()
    import torch

    from rim_lightning.commands.http_server import listening, noted_signals, run_server
    from rim_lightning.commands.serve_app import build_app
    from rim_lightning.commands.serve_log import DecisionLog
    from rim_lightning.commands.serve_questions import FaceService

    gallery = open_gallery(index, recognizer, create="://" not in index) if index else None
    if gallery is not None and log is not None and gallery.owns(log):
        raise click.UsageError(f"{log} is a file of the gallery: give another file for --log.")
    workers = torch.get_num_threads()
    torch.set_num_threads(1)  # a question on each core is faster than all cores on one question
    app = build_app(FaceService(recognizer, gallery), None if log is None else DecisionLog(log), workers)
    with listening(host, port) as connection, noted_signals() as received:
        address = f"http://{f'[{host}]' if ':' in host else host}:{connection.getsockname()[1]}"
        run_server(ServiceGuard(app, known), connection, f"Service: {address}   (Ctrl+C ends it)", received)
    _leave(received[0])


def _leave(signum: int) -> NoReturn:
    """End the program at once. Python would wait for all questions that are being answered, which may take minutes."""
    if signum != signal.SIGINT:
        say(f"rim: ended by {signal.Signals(signum).name}.", err=True)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0 if signum == signal.SIGINT else 128 + signum)
