"""rim-speed: how fast the training step is, row by row, against the first row."""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from tqdm import tqdm

from rim_lightning.files import write_json


class SpeedRow(NamedTuple):
    """One measurement.

    Attributes:
        label: its settings. overrides: all of them, as rim-train takes them.
        series: the entry of `rows` it comes from, without its numeric setting; x: (that setting, its value) or None.
    """

    label: str
    overrides: tuple[str, ...]
    series: str
    x: tuple[str, float] | None


def expand(rows: Sequence[str], common: Sequence[str]) -> list[SpeedRow]:
    """Every combination of the comma-separated values of each entry.

    Raises:
        ValueError: an entry is not a list of overrides.
    """
    made = []
    for entry in rows:
        try:
            overrides = OverridesParser.create().parse_overrides(entry.split())
        except OverrideParseException as error:
            raise ValueError(f'rows has "{entry}", which is not a list of settings <name>=<value>.') from error
        choices = [
            list(each.sweep_string_iterator()) if each.is_sweep_override() else [each.get_value_element_as_str()]
            for each in overrides
        ]
        keys = [token.partition("=")[0] for token in entry.split()]
        swept = [key for key, values in zip(keys, choices, strict=True) if len(values) > 1 and _numeric(values)]
        for values in product(*choices):
            settings = dict(zip(keys, values, strict=True))
            x = (swept[0], float(settings[swept[0]])) if swept else None
            label = " ".join(f"{key}={value}" for key, value in settings.items())
            series = " ".join(f"{key}={value}" for key, value in settings.items() if key not in swept[:1])
            made.append(SpeedRow(label, (*common, *label.split()), series, x))
    return made


def measure_row(row: SpeedRow, folder: Path, steps: int, epochs: int) -> dict[str, Any]:
    """Figures of one row, from a process of its own; {"failed": why} where it died."""
    result = folder / "row.json"
    result.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "rim_lightning.commands.speed_row",
        str(result),
        str(steps),
        str(epochs),
        *row.overrides,
    ]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if process.returncode == 0 and result.is_file():
        return json.loads(result.read_text())
    if process.returncode < 0:
        return {"failed": f"killed by signal {-process.returncode}; memory is the usual reason"}
    lines = process.stdout.decode(errors="replace").strip().splitlines()
    return {"failed": lines[-1] if lines else f"it ended with {process.returncode} without a word"}


def measure_all(rows: Sequence[SpeedRow], folder: Path, steps: int, epochs: int) -> list[dict[str, Any]]:
    """Measure every row, the first one once more at the end; whatever is measured is written at once to `speed.json`,
    from which an interrupted measurement goes on; rows that failed are tried again.
    """
    journal = folder / "speed.json"
    known = json.loads(journal.read_text()) if journal.is_file() else []
    settings = {"steps": steps, "epochs": epochs}
    done = {
        entry["label"]: entry
        for entry in known
        if "failed" not in entry and {key: entry.get(key) for key in settings} == settings
    }
    entries: list[dict[str, Any]] = []
    again = rows[0]._replace(label=f"{rows[0].label} (again)", series="", x=None)
    for row in tqdm([*rows, again], desc="rows", unit="row"):
        entry = done.get(row.label)
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
            tqdm.write(f"{row.label}: {entry['failed']}")
        entries.append(entry)
        first = entries[0].get("pairs_per_s")
        if first and "pairs_per_s" in entry:
            entry["speedup"] = entry["pairs_per_s"] / first
        reached = {each["label"] for each in entries}
        write_json(journal, [*entries, *(each for each in done.values() if each["label"] not in reached)])
    (folder / "row.json").unlink(missing_ok=True)
    return entries


def _numeric(values: Sequence[str]) -> bool:
    try:
        [float(value) for value in values]
    except ValueError:
        return False
    return True
