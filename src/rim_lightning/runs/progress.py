"""What a person sees while a command works: one kind of progress bar, and a line for each step."""

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tqdm import tqdm

from rim_lightning.files import printable
from rim_lightning.runs.provenance import duration_in_words


def progress_bar(iterable: Iterable[Any] | None = None, *, shown: bool = True, **options: Any) -> tqdm:
    """Return a progress bar on the error output. It shows only on a terminal: a log file stays free of it.

    Args:
        iterable: What is iterated over; None to call `update`.
        shown: False for no bar at all.
        **options: Options of tqdm, such as `total`, `desc` and `unit`.
    """
    if options.get("desc"):
        options["desc"] = printable(options["desc"])
    return tqdm(iterable, disable=None if shown else True, dynamic_ncols=True, **options)


def say(*lines: str, err: bool = False) -> None:
    """Print lines at once, without breaking a progress bar.

    Names in them may be of anybody: what is no letter becomes an escape, see `files.printable`.

    Args:
        *lines: The lines.
        err: True to print them on the error output.
    """
    stream = sys.stderr if err else sys.stdout
    tqdm.write("\n".join(map(printable, lines)), file=stream)
    stream.flush()


class StepCounter:
    """Prints a line when a step of a command begins.

    Args:
        titles: Name of a step -> its title, in the order of the steps.
        silent: True to print nothing, for all processes but the first.
    """

    def __init__(self, titles: Mapping[str, str], silent: bool = False) -> None:
        self.titles = dict(titles)
        self.silent = silent
        self._start = time.monotonic()

    def begin(self, name: str) -> None:
        """Print number, title and time of a step."""
        if self.silent:
            return
        number = list(self.titles).index(name) + 1
        elapsed = duration_in_words(time.monotonic() - self._start)
        say(f"step {number} of {len(self.titles)}: {self.titles[name]} (after {elapsed})")
