"""The table and the plot of rim-speed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rim_lightning.plotting import pyplot, save_figure

Entry = dict[str, Any]
"""One measured row, see `rows.measure_all`."""

COLUMNS: Mapping[str, Callable[[Entry], str]] = {
    "pairs/s": lambda f: f"{f['pairs_per_s']:.3g} ({f['pairs_per_s_low']:.3g} … {f['pairs_per_s_high']:.3g})",
    "× first": lambda f: f"{f['speedup']:.2f}" if "speedup" in f else "",
    "steps/s": lambda f: f"{f['steps_per_s']:.3g}",
    "GFLOP/pair": lambda f: f"{f['gflop_per_pair']:.4g}",
    "GFLOP/s": lambda f: f"{f['gflop_per_s']:.4g}",
    "of peak": lambda f: f"{f['peak_share']:.0%}",
    "memory GB": lambda f: f"{f['memory_gb']:.2f}",
    "data wait": lambda f: f"{f['data_wait']:.1%}",
    "MMD": lambda f: f"{f['mmd_share']:.1%}",
}
"""Column of the table -> its cell for a measured row."""


def speed_table(entries: Sequence[Entry]) -> str:
    """Return two tables as Markdown: the speed of every row, and the forward work of every model."""
    device = next((entry["device"] for entry in entries if "device" in entry), "nothing was measured")
    lines = [f"{device}. pairs/s: median (lowest … highest epoch); × first: against the first row.", ""]
    lines.append("| settings | " + " | ".join(COLUMNS) + " |")
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for entry in entries:
        if "failed" in entry:
            cells = [f"failed: {entry['failed'][:80]}"] + [""] * (len(COLUMNS) - 1)
        else:
            cells = [cell(entry) for cell in COLUMNS.values()]
        lines.append(f"| {entry['label']} | " + " | ".join(cells) + " |")
    lines += ["", "Forward work of one face, GFLOP:", "", *_work_table(entries)]
    return "\n".join(lines) + "\n"


def plot_scaling(path: Path, entries: Sequence[Entry]) -> bool:
    """Plot speed and memory over every setting that took several numbers.

    Args:
        path: Picture to write.
        entries: Measured rows.

    Returns:
        False, without a picture, if no setting did.
    """
    measured = [entry for entry in entries if entry.get("x") and "failed" not in entry]
    settings = list(dict.fromkeys(entry["x"][0] for entry in measured))
    if not settings:
        return False
    plt = pyplot()
    grid, axes = plt.subplots(2, len(settings), squeeze=False, figsize=(0.5 + 3.6 * len(settings), 6), sharex="col")
    for (speed, memory), setting in zip(axes.T, settings, strict=True):
        _plot_setting(speed, memory, setting, [entry for entry in measured if entry["x"][0] == setting])
    grid.tight_layout()
    save_figure(grid, path)
    return True


def _work_table(entries: Sequence[Entry]) -> list[str]:
    """Return the lines of a table with one row per model: rows whose networks do the same work are shown once."""
    networks = next((list(entry["gflop_forward"]) for entry in entries if "gflop_forward" in entry), [])
    lines = ["| model | " + " | ".join(networks) + " | trained parameters, million |"]
    lines.append("|---" * (len(networks) + 2) + "|")
    shown = set()
    for entry in entries:
        if "gflop_forward" not in entry or str(entry["gflop_forward"]) in shown:
            continue
        shown.add(str(entry["gflop_forward"]))
        cells = [f"{entry['gflop_forward'][name]:.3g}" for name in networks] + [f"{entry['parameters'] / 1e6:.2f}"]
        lines.append(f"| {entry['label']} | " + " | ".join(cells) + " |")
    return lines


def _plot_setting(speed: Any, memory: Any, setting: str, entries: Sequence[Entry]) -> None:
    """Draw one line per series into two axes of matplotlib."""
    names = _distinct({entry["series"]: entry["series"].split() for entry in entries})
    for number, (series, name) in enumerate(names.items()):
        width = 1 + 0.8 * (len(names) - 1 - number)  # the first line stays visible under those that lie on it
        line = [entry for entry in entries if entry["series"] == series]
        x, y = [entry["x"][1] for entry in line], [entry["pairs_per_s"] for entry in line]
        error = [
            [entry["pairs_per_s"] - entry["pairs_per_s_low"] for entry in line],
            [entry["pairs_per_s_high"] - entry["pairs_per_s"] for entry in line],
        ]
        speed.errorbar(x, y, error, fmt="o-", linewidth=width, markersize=3 + width, label=name or setting)
        memory.plot(x, [entry["memory_gb"] for entry in line], "o-", linewidth=width, markersize=3 + width)
    for axis, label in ((speed, "pairs/s"), (memory, "memory, GB")):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted({entry["x"][1] for entry in entries}))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(0, 1.08 * axis.dataLim.ymax)
        axis.set_ylabel(label)
        axis.grid(True, alpha=0.2)
    speed.legend(fontsize="x-small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # above the data
    memory.set_xlabel(setting)


def _distinct(words: dict[str, list[str]]) -> dict[str, str]:
    """Shorten names: key -> those of its words that not all keys share, or the key if no word is left."""
    shared = set.intersection(*(set(name) for name in words.values()))
    return {key: " ".join(word for word in name if word not in shared) or key for key, name in words.items()}
