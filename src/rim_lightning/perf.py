"""rim-perf: how fast the training step is, row by row, against the first row."""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig
from tqdm import tqdm

from rim_lightning.config_path import CONF_DIR
from rim_lightning.plotting import pyplot
from rim_lightning.run_state import write_whole

COLUMNS = {
    "pairs/s": lambda f: f"{f['pairs_per_s']:.3g} ({f['pairs_per_s_low']:.3g} … {f['pairs_per_s_high']:.3g})",
    "× first": lambda f: f"{f['speedup']:.2f}",
    "steps/s": lambda f: f"{f['steps_per_s']:.3g}",
    "GFLOP/pair": lambda f: f"{f['gflop_per_pair']:.4g}",
    "GFLOP/s": lambda f: f"{f['gflop_per_s']:.4g}",
    "of peak": lambda f: f"{f['peak_share']:.0%}",
    "memory GB": lambda f: f"{f['memory_gb']:.2f}",
    "data wait": lambda f: f"{f['data_wait']:.1%}",
    "MMD": lambda f: f"{f['mmd_share']:.1%}",
}


class Row(NamedTuple):
    """One measurement.

    Attributes:
        label: its settings. overrides: all of them, as rim-train takes them.
        series: the entry of `rows` it comes from, without its numeric setting; x: (that setting, its value) or None.
    """

    label: str
    overrides: tuple[str, ...]
    series: str
    x: tuple[str, float] | None


def expand(rows: Sequence[str], common: Sequence[str]) -> list[Row]:
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
            made.append(Row(label, (*common, *label.split()), series, x))
    return made


def measure_row(row: Row, folder: Path, steps: int, epochs: int) -> dict[str, Any]:
    """Figures of one row, from a process of its own; {"failed": why} where it died."""
    result = folder / "row.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rim_lightning.benchmark", str(result), str(steps), str(epochs), *row.overrides]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if process.returncode == 0 and result.is_file():
        return json.loads(result.read_text())
    if process.returncode < 0:
        return {"failed": f"killed by signal {-process.returncode}; memory is the usual reason"}
    lines = process.stdout.decode(errors="replace").strip().splitlines()
    return {"failed": lines[-1] if lines else f"it ended with {process.returncode} without a word"}


def measure_all(rows: Sequence[Row], folder: Path, steps: int, epochs: int) -> list[dict[str, Any]]:
    """Measure every row, the first one once more at the end; whatever is measured is written at once to `perf.json`,
    from which an interrupted measurement goes on; rows that failed are tried again."""
    journal = folder / "perf.json"
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
        write_whole(journal, [*entries, *(each for each in done.values() if each["label"] not in reached)])
    (folder / "row.json").unlink(missing_ok=True)
    return entries


def table(entries: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    device = next((entry["device"] for entry in entries if "device" in entry), "nothing was measured")
    lines = [f"{device}. pairs/s: median (lowest … highest epoch); × first: against the first row.", ""]
    lines.append("| settings | " + " | ".join(COLUMNS) + " |")
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for entry in entries:
        if "failed" in entry:
            cells = [f"failed: {entry['failed'][:80]}"] + [""] * (len(COLUMNS) - 1)
        else:
            cells = [show(entry) if name != "× first" or "speedup" in entry else "" for name, show in COLUMNS.items()]
        lines.append(f"| {entry['label']} | " + " | ".join(cells) + " |")
    lines += ["", "Forward work of one face, GFLOP:", ""]
    networks = next((list(entry["gflop_forward"]) for entry in entries if "gflop_forward" in entry), [])
    lines.append("| model | " + " | ".join(networks) + " | trained parameters, million |")
    lines.append("|---" * (len(networks) + 2) + "|")
    seen = set()
    for entry in entries:
        if "gflop_forward" not in entry or str(entry["gflop_forward"]) in seen:
            continue
        seen.add(str(entry["gflop_forward"]))
        cells = [f"{entry['gflop_forward'][name]:.3g}" for name in networks] + [f"{entry['parameters'] / 1e6:.2f}"]
        lines.append(f"| {entry['label']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(path: Path, entries: Sequence[dict[str, Any]]) -> bool:
    """Speed and memory over every setting that took several numbers; False, and no picture, where none did."""
    measured = [entry for entry in entries if entry.get("x") and "failed" not in entry]
    settings = list(dict.fromkeys(entry["x"][0] for entry in measured))
    if not settings:
        return False
    plt = pyplot()
    grid, axes = plt.subplots(2, len(settings), squeeze=False, figsize=(0.5 + 3.6 * len(settings), 6), sharex="col")
    for (speed, memory), setting in zip(axes.T, settings, strict=True):
        part = [entry for entry in measured if entry["x"][0] == setting]
        for series, name in _distinct({entry["series"]: entry["series"].split() for entry in part}).items():
            line = [entry for entry in part if entry["series"] == series]
            x, y = [entry["x"][1] for entry in line], [entry["pairs_per_s"] for entry in line]
            error = [
                [entry["pairs_per_s"] - entry["pairs_per_s_low"] for entry in line],
                [entry["pairs_per_s_high"] - entry["pairs_per_s"] for entry in line],
            ]
            speed.errorbar(x, y, error, fmt="o-", label=name or setting)
            memory.plot(x, [entry["memory_gb"] for entry in line], "o-")
        for axis, what in ((speed, "pairs/s"), (memory, "memory, GB")):
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted({entry["x"][1] for entry in part}))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_ylim(bottom=0)
            axis.set_ylabel(what)
            axis.grid(True, alpha=0.2)
        speed.legend(fontsize="small")
        memory.set_xlabel(setting)
    grid.tight_layout()
    grid.savefig(path, dpi=110)
    plt.close(grid)
    return True


def _distinct(words: dict[str, list[str]]) -> dict[str, str]:
    """key -> those of its words that not all keys share; the key where that leaves none."""
    shared = set.intersection(*(set(each) for each in words.values()))
    return {key: " ".join(word for word in each if word not in shared) or key for key, each in words.items()}


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="perf")
def _hydra_main(cfg: DictConfig) -> None:
    folder = Path(cfg.paths.output_dir)
    try:
        rows = expand(cfg.rows, cfg.common)
        if not rows:
            raise ValueError("rows is empty; give one list of settings or more.")
        entries = measure_all(rows, folder, cfg.steps, cfg.epochs)
    except (OSError, ValueError) as error:
        sys.exit(f"rim-perf: {error}")
    text = table(entries)
    (folder / "perf.md").write_text(text)
    print(text)
    print(f"Table: {folder / 'perf.md'} and perf.json")
    if draw(folder / "scaling.png", entries):
        print(f"Scaling: {folder / 'scaling.png'}")


def _numeric(values: Sequence[str]) -> bool:
    try:
        [float(value) for value in values]
    except ValueError:
        return False
    return True


def main() -> None:
    """Entry point of the `rim-perf` command."""
    _hydra_main()


if __name__ == "__main__":
    main()
