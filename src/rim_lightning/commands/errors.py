"""The end of every command: one sentence for the user when something goes wrong, and an exit code that is never 0."""

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

FAULT = 70
"""Exit code of a fault of the program."""
PARTLY = 3
"""Exit code if a part of the work failed and the rest is done."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, or when the reader of a pipe has closed it."""

# Exceptions of libraries, by the name of their class: importing Lightning here would slow down every `--help`.
_ANTICIPATED = {"NonFiniteLoss", "MisconfigurationException", "HydraException"}


class Hints(NamedTuple):
    """Exit code and advice that one command adds to the common error messages.

    Attributes:
        wrong: Exit code for input that the user can correct.
        value: Placeholder for a missing setting's value.
        dead_loader: Advice after a loader process died.
        interrupted: Message after Ctrl-C.
    """

    wrong: int = 1
    value: str = "<value>"
    dead_loader: str = "check that the memory suffices, then repeat the command, or add workers=0"
    interrupted: str = "interrupted"


class Ending(NamedTuple):
    """How a command ends.

    Attributes:
        code: Exit code.
        sentence: Message on the standard error output; "" for none.
    """

    code: int
    sentence: str


@contextmanager
def one_sentence(command: str, hints: Hints | None = None) -> Iterator[None]:
    """End the program with one sentence if the block raises.

    An unexpected exception is a fault of the program: its trace is printed before the sentence. Exceptions
    that only end the program (`SystemExit`) and those with which click reports wrong options pass through.

    Args:
        command: Name of the command, which begins the sentence.
        hints: Exit code and advice of this command.

    Raises:
        SystemExit: If the block raises. Its code is never 0.
    """
    hints = hints or Hints()
    for stream in (sys.stdout, sys.stderr):  # a letter that the terminal does not know must not end the command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_current_folder()
        with _flushed_output():
            yield
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit) or _class_names(error) & {"ClickException", "Exit"}:
            raise
        if os.environ.get("HYDRA_FULL_ERROR") == "1":  # Hydra reads this variable for its own errors
            _print_trace(error)
        from rim_lightning.files import printable  # not at the top of the file: `--help` should not wait for it

        code, sentence = ending_of(error, hints) or _fault(error)
        _flush_fails()  # or Python would say so once more at its end
        sentence = printable(sentence)
        if code == 1:
            raise SystemExit(f"{command}: {sentence}") from error
        if sentence:
            print(f"{command}: {sentence}", file=sys.stderr)
        raise SystemExit(code) from error


def ending_of(error: BaseException, hints: Hints) -> Ending | None:
    """Return exit code and sentence for an exception, or None if it is a fault of the program."""
    from rim_lightning.runs.incomplete import Incomplete  # not at the top: `--help` should not wait for them
    from rim_lightning.runs.signals import Interrupted

    if "InstantiationException" in _class_names(error):  # Hydra could not build an object of the configuration
        cause = error.__cause__
        if cause is not None and (ending := ending_of(cause, hints)):
            return ending
        return Ending(hints.wrong, sentence_of(cause if isinstance(cause, TypeError) else error))
    if isinstance(error, Incomplete):
        return Ending(hints.wrong if error.nothing else PARTLY, str(error))
    if isinstance(error, Interrupted):
        return Ending(128 + error.signum, str(error))
    if isinstance(error, KeyboardInterrupt) or "Abort" in _class_names(error):  # click raises Abort for Ctrl-C
        return Ending(INTERRUPTED, hints.interrupted)
    if isinstance(error, BrokenPipeError) and _output_is_closed():
        return Ending(INTERRUPTED, "")
    sentence = _correctable(error, hints)
    return None if sentence is None else Ending(hints.wrong, sentence)


def sentence_of(error: BaseException) -> str:
    """Return the message of an exception as one sentence.

    An OSError raised by the system becomes "<file>: <reason>". An error in a loader process is reduced to its original
    message, without the trace. OmegaConf's messages lose the lines that describe its objects.
    """
    from rim_lightning.files import printable  # not at the top of the file: `--help` should not wait for it

    text = str(error).strip()
    if isinstance(error, OSError) and error.strerror:
        room = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; make room, then repeat the command" if room else ""
        unnamed = "the output, or a file that is written" if room else "the file"
        return f"{printable(str(error.filename2 or error.filename or unnamed))}: {error.strerror}{advice}"
    in_loader = re.match(r"Caught (\w+) in .*Original Traceback", text, re.DOTALL)
    if in_loader:
        text = text.rpartition(f"{in_loader[1]}: ")[2]
    if "OmegaConfBaseException" in _class_names(error):
        key = getattr(error, "full_key", None)
        text = f"{f'{key}: ' if key else ''}{text.partition(chr(10) + '    full_key:')[0]}"
    return re.sub(r"\s*\n\s*", " ", text)


def _correctable(error: BaseException, hints: Hints) -> str | None:
    """Return the sentence for an exception that the user can do something about; None for any other."""
    names = _class_names(error)
    if "MissingMandatoryValue" in names:
        return _missing(getattr(error, "full_key", None) or sentence_of(error).rpartition(" ")[2], hints)
    if "InterpolationToMissingValueError" in names:
        return _missing(sentence_of(error).rpartition(" ")[2], hints)
    if isinstance(error, ImportError):
        return _what_to_install(error)
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return f"Out of memory ({sentence_of(error) or 'RAM'}): use smaller batches."
    if isinstance(error, OSError | ValueError) or names & _ANTICIPATED:
        return sentence_of(error)
    if isinstance(error, RuntimeError) and re.match(r"DataLoader worker \(pid", str(error)):
        return f"A loader process died ({sentence_of(error)}): {hints.dead_loader}."
    if isinstance(error, RuntimeError):
        return _between_processes(names, sentence_of(error))
    return None


def _between_processes(names: set[str], text: str) -> str | None:
    """Return the sentence for an error between the processes of one run; None for any other."""
    if "EADDRINUSE" in text:
        port = re.search(r"port: (\d+)", text)
        return f"Port {port[1] if port else ''} is taken by another program: set MASTER_PORT to a free one."
    if "DistError" in names or "/gloo/" in text or "NCCL error" in text:
        reason = re.sub(r"^\[\S+\] ", "", text).partition(". ")[0]
        return (
            f"Another process of this run has ended or cannot be reached ({reason}): its own message says why; the "
            "last checkpoint is untouched, resume=true resumes the run."
        )
    return None


def _missing(key: str, hints: Hints) -> str:
    return f"{key} is not set; add {key}={hints.value} to the command."


def _what_to_install(error: ImportError) -> str | None:
    """Return how to install a missing package; None for a missing module of this package, which is a fault."""
    package = (error.name or "").partition(".")[0]
    if package == "rim_lightning":
        return None
    text = sentence_of(error)
    if "pip install" in text or not package:
        return text
    from rim_lightning.extras import extra_of, install_command  # not at the top: `--help` should not wait for it

    extra = extra_of(package)
    return f"{text}: {install_command(extra) if extra else f'pip install {package}'}."


def _fault(error: BaseException) -> Ending:
    """Print the trace of an unexpected exception."""
    _print_trace(error)
    what = f"{type(error).__name__}: {sentence_of(error)}".rstrip(": ")
    return Ending(FAULT, f"this is a fault of the program ({what}): please report it with the lines above.")


def _print_trace(error: BaseException) -> None:
    import traceback  # not at the top of the file: `--help` should not wait for it

    from rim_lightning.files import printable

    lines = "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    print("\n".join(map(printable, lines)), file=sys.stderr)


def _output_is_closed() -> bool:
    """Return True if the reader of the standard output has closed it. Then silence it: Python writes to it at exit."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # it is not a file of the system
        return False
    import select  # not at the top of the file: `--help` should not wait for it

    if not hasattr(select, "poll"):  # Windows
        return _flush_fails()
    poll = select.poll()
    poll.register(descriptor, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, it stays open until the program ends
    return closed


def _check_current_folder() -> None:
    """Raise FileNotFoundError if the folder that the command runs in was removed: libraries end in other ways."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError("The current folder was removed: change to another one (cd).") from None


@contextmanager
def _flushed_output() -> Iterator[None]:
    """Write the output when the block ends, also where it ends the program without an error."""
    try:
        yield
    except SystemExit as end:
        if not end.code:
            _flush_output()
        raise
    _flush_output()


def _flush_output() -> None:
    """Write what is left of the output, so that a full disk is noticed.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python writes the rest at its end
        raise OSError(error.errno, error.strerror, "the output") from error


def _flush_fails() -> bool:
    """Return True if what is left of the output cannot be written."""
    try:
        _flush_output()
    except OSError:
        return True
    return False


def _class_names(error: Any) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}
