"""The frame of every command whose settings Hydra reads: `--version`, and one sentence for every error."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.errors import Hints, one_sentence
from rim_lightning.extras import require_extra

if TYPE_CHECKING:
    from omegaconf import DictConfig


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

        @functools.wraps(task)
        def command() -> None:
            with one_sentence(name, hints):
                if "--version" in sys.argv[1:]:
                    from rim_lightning import __version__

                    print(f"{name}, version {__version__}")
                    return
                require_extra("train", "This command")
                import hydra  # here: without the extra there is no Hydra
                from hydra._internal.utils import get_args_parser

                from rim_lightning.commands.config_path import CONF_DIR

                start = hydra.main(str(CONF_DIR), name.removeprefix("rim-"), version_base="1.3")
                check_overrides(get_args_parser().parse_args().overrides)
                start(job)()

        return command

    return decorate


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse settings that Hydra could not read, with a sentence in place of its grammar.

    Args:
        overrides: Settings of the command line.

    Raises:
        ValueError: If there is such a setting. The message shows how to write it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.errors import OverrideParseException

    parser = OverridesParser.create()
    for text in overrides:
        key, equals, value = text.partition("=")
        try:
            parser.parse_overrides([text])
        except OverrideParseException:
            written = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
            try:
                parser.parse_overrides([written])
            except OverrideParseException:
                raise ValueError(f"{text} is no setting; write <name>=<value>.") from None
            if not equals:
                raise ValueError(f"{text} is no setting; write <name>=<value>.") from None
            raise ValueError(
                f"{text}: the value cannot be read. If it is a path or another text, write {shlex.quote(written)}; "
                "otherwise check its brackets and quotes."
            ) from None
