"""`rim serve`: the model for other programs, over HTTP."""

from __future__ import annotations

import signal
from pathlib import Path

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
    from rim_lightning.runs.signals import Interrupted

    gallery = open_gallery(index, recognizer, create="://" not in index) if index else None
    workers = torch.get_num_threads()
    torch.set_num_threads(1)  # a question on each core is faster than all cores on one question
    app = build_app(FaceService(recognizer, gallery), None if log is None else DecisionLog(log), workers)
    with listening(host, port) as connection, noted_signals() as received:
        address = f"http://{f'[{host}]' if ':' in host else host}:{connection.getsockname()[1]}"
        run_server(ServiceGuard(app, known), connection, f"Service: {address}   (Ctrl+C ends it)", received)
    if received[0] != signal.SIGINT:
        raise Interrupted(f"ended by {signal.Signals(received[0]).name}.", received[0])
