"""The parser of the commands whose arguments Hydra does not read."""

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from rim_lightning import __version__
from rim_lightning.commands.errors import one_sentence
from rim_lightning.files import printable

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class CommandParser(argparse.ArgumentParser):
    """A parser whose help begins with what the command does and with examples, before usage and arguments.

    Attributes:
        preface: Text at the top of the help.
    """

    preface = ""

    def format_help(self) -> str:
        """Return the text of `--help`."""
        return self.preface + super().format_help()

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """Print help, version or an error. argparse would not say that it cannot be written."""
        with one_sentence(self.prog):
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """End the command with a message, in which names of files are shown as `files.printable` shows them."""
        super().error(printable(message))


def command_parser(name: str, purpose: str, examples: str) -> CommandParser:
    """Return a parser that knows `--version` and has examples at the top of its help.

    Args:
        name: Name of the command.
        purpose: What the command does, in one sentence.
        examples: "Examples:" and one command a line.
    """
    parser = CommandParser(name)
    parser.preface = f"{name}: {purpose}\n\n{examples}\n"
    parser.add_argument("--version", action="version", version=f"%(prog)s, version {__version__}")
    return parser
