"""Answers as a table, `--csv FILE`: for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from rim_lightning.commands.rim.new_file import check_new_file
from rim_lightning.commands.rim.options import Place, json_option

Command = TypeVar("Command", bound=Callable[..., Any])

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")  # noqa: RUF001, letters of the full width count too
"""Beginnings of a text that a spreadsheet takes for a formula; and the mark that says that it is none."""

PAIR_COLUMNS = (
    *("probe_size", "gallery_size", "similarity", "threshold", "accepted", "log10_ratio", "far", "frr"),
    *("quality", "missed", "notes", "error"),
)
"""Columns of the answer of `rim verify`, behind those that name the pictures."""
POOLED_COLUMNS = ("best_quality", "mean_quality")
"""Columns of the quality of several probes that are pooled, each as if it were alone."""
HIT_COLUMNS = (
    *("probe", "track", "face", "size", "rank", "person", "similarity", "threshold", "accepted", "far", "fpir"),
    *("pooled", "picture", "enrolled", "state", "quality", "missed", "notes", *POOLED_COLUMNS, "error"),
)
"""Columns of the answer of `rim identify`."""

csv_option = click.option("--csv", "table", type=Place(), help="Write the answers into this CSV file, too.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace a file that exists.")


@dataclass(frozen=True)
class Output:
    """What the options `--json`, `--csv` and `--overwrite` say: where the answers go.

    Attributes:
        as_json: True to print one JSON object.
        table: CSV file to write. None for none.
        overwrite: True to replace it.
    """

    as_json: bool
    table: Path | None = None
    overwrite: bool = False

    def check(self, sources: Iterable[Path], also: Path | None = None) -> None:
        """Check before any work that the table can be written. See `check_table`.

        Args:
            sources: Files that are read.
            also: Another file that `--overwrite` may mean.
        """
        if self.table is not None:
            check_table(self.table, [os.path.realpath(source) for source in sources], self.overwrite)
        elif self.overwrite and also is None:
            raise click.UsageError("--overwrite replaces a file that is written: none is, leave it out.")


def output_options(command: Command) -> Command:
    """Add `--json`, `--csv` and `--overwrite` to a command, which gets them as one `Output`."""

    @wraps(command)
    def with_output(*, as_json: bool, table: Path | None, overwrite: bool, **values: Any) -> Any:
        return command(output=Output(as_json, table, overwrite), **values)

    with_options: Any = with_output
    return csv_option(overwrite_option(json_option(with_options)))


def check_table(table: Path, sources: Collection[str], overwrite: bool) -> None:
    """Check before any work that a CSV file can be written.

    Args:
        table: The file.
        sources: Real paths of the files that are read.
        overwrite: True if another file may be replaced.

    Raises:
        ValueError: If it has another ending, is a folder or one of the files that are read, exists already, or cannot
            be written.
    """
    from rim_lightning.files import check_folder

    if table.suffix.lower() != ".csv":
        raise ValueError(f"{table} does not end in .csv: give the CSV file to write.")
    if table.is_dir():
        raise ValueError(f"{table} is a folder: give the CSV file to write.")
    check_new_file(table, sources, overwrite)
    check_folder(table.parent, "place")


def write_answers(table: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table of answers in UTF-8, whole or not at all.

    Args:
        table: The file.
        columns: Names of its columns.
        rows: Column -> value of each row. What is missing stays empty.

    Raises:
        OSError: If it cannot be written.
    """
    from rim_lightning.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell_of, columns))
    writer.writerows([cell_of(row.get(column)) for column in columns] for row in rows)
    write_text(table, text.getvalue())


def cell_of(value: Any) -> str:
    r"""Return the cell of a value.

    Yes and no stand for truth, six digits for a number. A text that a spreadsheet would take for a formula, because it
    begins with =, +, -, @ or spaces before one of these, gets a ' in front; so does one that begins with ', so that two
    texts stay two. Control characters become escapes: each row is one line.

    Example:
        >>> [cell_of(value) for value in (None, True, -0.25, 1234567.0, "a.png", "=1+1", " @x", "'a", "a\tb")]
        ['', 'yes', '-0.25', '1.23457e+06', 'a.png', "'=1+1", "' @x", "''a", 'a\\tb']
    """
    from rim_lightning.files import finite, printable

    value = finite(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = printable(str(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def pooled_cells(quality: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the cells of `POOLED_COLUMNS` for a `PooledQuality`, as in a JSON object; none if there is none."""
    return {} if quality is None else {f"{name}_quality": quality[name] for name in ("best", "mean")}


def hit_rows(
    answers: Iterable[Mapping[str, Any]], left_out: Mapping[str, str], rate: Mapping[str, float]
) -> Iterable[dict[str, Any]]:
    """Yield the rows of a search: one for each hit, for each probe without one, and for each picture left out.

    Args:
        answers: Answers of `rim identify`, as in its JSON object.
        left_out: Picture -> reason.
        rate: "far" or "fpir" -> the rate that the thresholds were chosen for.
    """
    for answer in answers:
        found = answer.get("found") or {}
        about = {
            "probe": answer.get("picture", answer.get("template")),
            "track": answer.get("track"),
            "face": found.get("number"),
            "size": answer["size"],
            "threshold": answer["threshold"],
            "notes": "; ".join(answer["notes"]) or None,
            **rate,
            "quality": (quality := answer.get("quality") or {}).get("score"),
            "missed": quality.get("missed"),
            **pooled_cells(answer.get("pooled_quality")),
        }
        for rank, hit in enumerate(answer["hits"], start=1):
            own = {
                key: hit[key]
                for key in ("person", "similarity", "threshold", "accepted", "pooled", "enrolled", "state")
            }
            yield about | {"rank": rank, "picture": hit["source"]} | own
        if not answer["hits"]:
            yield about
    for picture, reason in left_out.items():
        yield {"probe": picture, "error": reason}
