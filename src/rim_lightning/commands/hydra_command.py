"""The frame of every command whose settings Hydra reads: `--version`, and one sentence for every error."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.commands.errors import Hints, one_sentence
from rim_lightning.commands.settings_check import check_settings, explained, is_addable, names_of, nearest
from rim_lightning.extras import require_extra
from rim_lightning.runs.overrides import quoted

if TYPE_CHECKING:
    from omegaconf import DictConfig

_HIDDEN: list[str] = []
"""Environment variables that this module has set and that the user does not know of."""


def hydra_command(
    name: str, hints: Hints | None = None, complete: Callable[[Sequence[str]], list[str]] | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function that takes a configuration.

    Errors are caught twice: inside Hydra, which would print a trace of its own, and around it, where settings are read
    and the jobs of a sweep are started.

    Args:
        name: Name of the command, "rim-<name of its file in `conf/`>".
        hints: Exit code and advice that the command adds to the common error messages.
        complete: Takes the settings of the command line and returns those that the command works with.

    Returns:
        Decorator of the function. The decorated function takes no argument; it reads the command line.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> Any:
            from rim_lightning.commands.settings_rules import RULES

            with one_sentence(name, hints), _setting_named(cfg):
                hydra_prints_again()
                check_settings(cfg, RULES[name])
                return task(cfg)

        @functools.wraps(task)
        def command() -> None:
            with one_sentence(name, hints), _nearest_name(name), _hydra_raises():
                if "--version" in sys.argv[1:]:
                    from rim_lightning import __version__

                    print(f"{name}, version {__version__}")
                    return
                require_extra("train", "This command")
                import hydra  # here: without the extra there is no Hydra
                from hydra.errors import HydraException

                from rim_lightning.commands.config_path import CONF_DIR

                start = hydra.main(str(CONF_DIR), name.removeprefix("rim-"), version_base="1.3")
                quoted(Path.cwd())  # raises for a folder that Hydra would resolve
                _sort_words(complete)
                try:
                    start(job)()
                except OSError as error:  # Hydra makes the folder of the run; errors of the task do not come here
                    if isinstance(error, HydraException) or error.filename is None:  # no configuration; a closed pipe
                        raise
                    why = f"Nothing can be written to {error.filename} ({error.strerror})"
                    raise ValueError(f"{why}: choose another hydra.run.dir.") from error

        return command

    return decorate


def _sort_words(complete: Callable[[Sequence[str]], list[str]] | None) -> None:
    """Check and complete the settings of the command line, and put them behind the options, as Hydra wants them."""
    from hydra._internal.utils import get_args_parser

    arguments = get_args_parser().parse_intermixed_args()
    check_overrides(arguments.overrides)
    options = [word for word in sys.argv[1:] if word not in arguments.overrides]
    if complete is not None and not arguments.multirun:
        arguments.overrides = complete(arguments.overrides)
    sys.argv[1:] = [*options, *arguments.overrides]


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise its errors within the block; it would print them in many lines and end the process."""
    if "HYDRA_FULL_ERROR" not in os.environ:  # a user who sets it wants traces
        os.environ["HYDRA_FULL_ERROR"] = "1"
        _HIDDEN.append("HYDRA_FULL_ERROR")
    try:
        yield
    finally:
        hydra_prints_again()


def hydra_prints_again() -> None:
    """Undo what lets Hydra raise its errors, before anything starts another process."""
    while _HIDDEN:
        os.environ.pop(_HIDDEN.pop(), None)


@contextmanager
def _setting_named(cfg: DictConfig) -> Iterator[None]:
    """Name the setting that a class does not take, or that was taken away with a "~"."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (TypeError, LookupError, AttributeError, HydraException, OmegaConfBaseException) as error:
        sentence = explained(cfg, HydraConfig.get().overrides.task, error)
        if sentence:
            raise ValueError(sentence) from error
        raise


@contextmanager
def _nearest_name(command: str) -> Iterator[None]:
    """Add the setting or choice that is written most alike to Hydra's message about one that is not there."""
    try:
        yield
    except Exception as error:
        if "HydraException" not in {base.__name__ for base in type(error).__mro__}:
            raise
        text = str(error).partition("Config search path")[0].strip()
        inner = getattr(error.__cause__, "full_key", None)
        if inner and text.startswith("Could not override '"):  # a group was given as a mapping: the name is in it
            text = f"Could not override '{inner}'."
        advice = _advice(command, text)
        if advice:
            text = f"{text[text.index('Could not') :].splitlines()[0].rstrip('.')}: {advice}"
        raise ValueError(text) from error


def _advice(command: str, message: str) -> str:
    """Return what the setting or choice in a message of Hydra may have meant; "" if nothing is alike."""
    from rim_lightning.commands.config_path import CONF_DIR
    from rim_lightning.commands.settings_rules import RULES

    group = re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", message)
    if group is not None:
        options = [file.stem for file in (CONF_DIR / group[1]).glob("*.yaml")]
        like = nearest(group[2], options)
        return f"did you mean {group[1]}={like}?" if like else ""
    setting = re.search(r"Could not (override|delete from config\.|append to config\.)(?: Key)? '([^']+)'", message)
    if setting is None:
        return ""
    names = _names(command)
    if setting[1] == "override" and is_addable(setting[2], names, RULES[command]):
        return f"this setting is added, by +{setting[2]}=<value>."
    like = nearest(setting[2], names)
    return f"did you mean {like}?" if like else ""


def _names(command: str) -> list[str]:
    """List groups and settings of a command with the groups that its command line chooses, by their dotted names."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from rim_lightning.commands.config_path import CONF_DIR

    choices = [word for word in sys.argv[1:] if (CONF_DIR / word.partition("=")[0]).is_dir()]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        try:
            cfg = compose(command.removeprefix("rim-"), choices)
        except HydraException:  # choices of a sweep, or of a folder that --config-dir names
            cfg = compose(command.removeprefix("rim-"))
    return [*(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir()), *names_of(cfg)]


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse settings that Hydra could not read, with a sentence in place of its grammar.

    Args:
        overrides: Settings of the command line.

    Raises:
        ValueError: If there is such a setting. The message shows how to write it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Quote, QuotedString, Sweep
    from hydra.errors import OverrideParseException

    from rim_lightning.commands.config_path import CONF_DIR

    parser = OverridesParser.create()
    for text in overrides:
        key, equals, value = text.partition("=")
        try:
            (override,) = parser.parse_overrides([text])
            options = sorted(file.stem for file in (CONF_DIR / key).glob("*.yaml"))
            if options and not override.is_delete() and not isinstance(override.value(), str | list | Sweep):
                raise ValueError(f"{text}: {key} is a group of settings; choose {key}=<{' or '.join(options)}>.")
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
