"""A command of the package in this process, which saves the seconds in which a new one would import torch."""

import contextlib
import importlib
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from hydra.core.singleton import Singleton

import rim_lightning.commands.config_path  # noqa: F401, what it registers must be part of the state that is restored

ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """How a command ended, with the names of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def run_here(command: str, *words: object, cwd: Path = ROOT) -> Ended:
    """Run `python -m rim_lightning.commands.<command> <words>` in this process.

    What Hydra keeps for a whole process, and the handlers and the level of logs, are as before afterwards.
    """
    main = importlib.import_module(f"rim_lightning.commands.{command}").main
    out, err, code = io.StringIO(), io.StringIO(), 0
    singletons, handlers, level = Singleton.get_state(), list(logging.root.handlers), logging.root.level
    with (
        mock.patch.object(sys, "argv", [f"rim-{command}", *map(str, words)]),
        mock.patch.dict(os.environ),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # warnings are errors in the tests, not for users
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                err.write(f"{end.code}\n")
        finally:
            Singleton.set_state(singletons)
            logging.root.handlers = handlers
            logging.root.setLevel(level)
    return Ended(code, out.getvalue(), err.getvalue())
