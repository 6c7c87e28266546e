"""The frame of every command whose settings Hydra reads: `--version`, and one sentence for every error."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import hydra
from omegaconf import DictConfig

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.errors import Hints, one_sentence


def hydra_command(name: str, hints: Hints | None = None) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function that takes a configuration.

    Errors are caught twice: inside Hydra, which would print a trace of its own, and around it, where settings are read
    and the jobs of a sweep are started.

    Args:
        name: Name of the command, "rim-<name of its file in `conf/`>".
        hints: Exit code and advice that the command adds to the common error messages.

    Returns:
        Decorator of the function. The decorated function takes no argument; it reads the command line.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> Any:
            with one_sentence(name, hints):
                return task(cfg)

        start = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name.removeprefix("rim-"))(job)

        @functools.wraps(task)
        def command() -> None:
            with one_sentence(name, hints):
                if "--version" in sys.argv[1:]:
                    from rim_lightning import __version__

                    print(f"{name}, version {__version__}")
                    return
                start()

        return command

    return decorate
