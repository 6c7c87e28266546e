"""The rows of rim-speed: from lists of settings to measurements, each compared with the first row."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from rim_lightning.files import write_json
from rim_lightning.json_files import read_json
from rim_lightning.runs.progress import progress_bar, say


class SpeedRow(NamedTuple):
    """One measurement.

    Attributes:
        label: Settings of the row, as one text.
        overrides: All settings, as rim-train takes them.
        series: The label without its numeric setting. Rows of one series are points of one line.
        x: The numeric setting and its value; None if no number was varied.
    """

    label: str
    overrides: tuple[str, ...]
    series: str
    x: tuple[str, float] | None


def expand(rows: Sequence[str], common: Sequence[str]) -> list[SpeedRow]:
    """Make one row of every combination of the comma-separated values of an entry.

    Args:
        rows: Entries such as "model=base,small data.batch_size=2,4".
        common: Settings of all rows. The settings of a row come after them and may change them.

    Raises:
        ValueError: If an entry is not a list of settings.
    """
    expanded = []
    for entry in rows:
        try:
            tokens = _tokens(entry)
            overrides = OverridesParser.create().parse_overrides(tokens)
        except OverrideParseException as error:
            raise ValueError(f'rows has "{entry}", which is not a list of settings <name>=<value>.') from error
        choices = [_values(override) for override in overrides]
        keys = [token.partition("=")[0] for token in tokens]
        swept = [key for key, values in zip(keys, choices, strict=True) if len(values) > 1 and _numeric(values)]
        for values in product(*choices):
            settings = dict(zip(keys, values, strict=True))
            x = (swept[0], float(settings[swept[0]])) if swept else None
            series = " ".join(f"{key}={value}" for key, value in settings.items() if key not in swept[:1])
            own = [f"{key}={value}" for key, value in settings.items()]
            expanded.append(SpeedRow(" ".join(own), (*common, *own), series, x))
    return expanded


def measure_row(row: SpeedRow, folder: Path, steps: int, epochs: int) -> dict[str, Any]:
    """Measure one row in a process of its own.

    Args:
        row: The row.
        folder: Folder for the process's result.
        steps: Number of batches of an epoch.
        epochs: Number of measured epochs.

    Returns:
        The figures of `measure_training`, or {"failed": reason} if the process died.
    """
    result = folder / "row.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rim_lightning.commands.speed_row", str(result), str(steps), str(epochs)]
    end_for_row, end_of_ours = os.pipe()  # the row sees the end of its input when this process ends, even by SIGKILL
    try:
        process = subprocess.run(
            [*command, *row.overrides], stdin=end_for_row, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    finally:
        os.close(end_for_row)
        os.close(end_of_ours)
    if process.returncode == 0 and result.is_file():
        return read_json(result, dict)
    if process.returncode < 0:
        return {"failed": f"killed by {signal.Signals(-process.returncode).name}; lack of memory is the usual reason"}
    lines = process.stdout.decode(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix("rim-speed: ") if lines else ""
    return {"failed": reason or f"it ended with {process.returncode} without a message"}


def measure_all(rows: Sequence[SpeedRow], folder: Path, steps: int, epochs: int) -> list[dict[str, Any]]:
    """Measure every row, and the first one once more at the end.

    `speed.json` is written after every row. An interrupted measurement resumes from it; rows that failed are measured
    again.

    Args:
        rows: The rows. All are compared with the first one.
        folder: Folder of `speed.json`.
        steps: Number of batches of an epoch.
        epochs: Number of measured epochs.

    Returns:
        One entry per row: its settings, its figures and "speedup" over the first row.
    """
    journal = folder / "speed.json"
    settings = {"steps": steps, "epochs": epochs}
    measured = _measured_rows(journal, settings)
    entries: list[dict[str, Any]] = []
    again = rows[0]._replace(label=f"{rows[0].label} (again)", series="", x=None)
    for row in progress_bar([*rows, again], desc="rows", unit="row"):
        entry = measured.get(row.label)
        if entry is None or entry["overrides"] != list(row.overrides):
            entry = {
                "label": row.label,
                "overrides": list(row.overrides),
                **settings,
                "series": row.series,
                "x": row.x,
                **measure_row(row, folder, steps, epochs),
            }
        if "failed" in entry:
            say(f"{row.label}: {entry['failed']}")
        entries.append(entry)
        first = entries[0].get("pairs_per_s")
        if first and "pairs_per_s" in entry:
            entry["speedup"] = entry["pairs_per_s"] / first
        labels = {entry["label"] for entry in entries}
        write_json(journal, [*entries, *(entry for label, entry in measured.items() if label not in labels)])
    (folder / "row.json").unlink(missing_ok=True)
    return entries


def _measured_rows(journal: Path, settings: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return label -> entry for the rows that an earlier call measured with the same steps and epochs."""
    from rim_lightning.runs.records import read_speed_entries

    entries = read_speed_entries(journal) if journal.is_file() else []
    return {
        entry["label"]: entry
        for entry in entries
        if "failed" not in entry and {key: entry.get(key) for key in settings} == settings
    }


def _tokens(entry: str) -> list[str]:
    """Split an entry at its spaces, but not within quotes."""
    return re.findall(r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\s'"])+|['"]""", entry)


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _numeric(values: Sequence[str]) -> bool:
    try:
        [float(value) for value in values]
    except ValueError:
        return False
    return True
