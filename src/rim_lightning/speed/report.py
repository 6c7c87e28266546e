"""rim_lightning.speed.report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rim_lightning.plotting import pyplot

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


def plot(path: Path, entries: Sequence[dict[str, Any]]) -> bool:
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
    """Key -> those of its words that not all keys share; the key where that leaves none."""
    shared = set.intersection(*(set(each) for each in words.values()))
    return {key: " ".join(word for word in each if word not in shared) or key for key, each in words.items()}
