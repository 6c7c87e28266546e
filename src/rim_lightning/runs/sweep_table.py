"""The figures of a sweep: a table of its jobs, and a plot of the effect of every setting that was varied."""

import csv
import statistics
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from rim_lightning.plotting import pyplot
from rim_lightning.runs.sweep import Job, Sweep, swept_settings

FIGURES = ("*/psnr_gain_y", "*/rim/accuracy", "val/psnr_gain")
"""Patterns of the figures that are shown by default."""


def chosen_figures(jobs: Sequence[Job], patterns: Sequence[str] = FIGURES) -> dict[str, list[float | None]]:
    """Return the figures whose keys fit a pattern: key of metrics.json -> its value in every job, None if missing."""
    figures = [job.figures for job in jobs]
    keys = sorted({key for job in figures for key in job if any(fnmatch(key, pattern) for pattern in patterns)})
    return {key: [job.get(key) for job in figures] for key in keys}


def check_patterns(jobs: Sequence[Job], patterns: Sequence[str]) -> None:
    """Refuse patterns that no figure of any job fits. Of the default patterns, one that fits is enough.

    Raises:
        ValueError: If there is such a pattern. The message lists the figures that there are.
    """
    keys = sorted({key for job in jobs for key in job.figures})
    if not keys:
        raise ValueError("No job has figures yet: `rim-sweep status` shows how far the jobs are.")
    unknown = [pattern for pattern in patterns if not any(fnmatch(key, pattern) for key in keys)]
    if unknown and (tuple(patterns) != FIGURES or len(unknown) == len(FIGURES)):
        raise ValueError(f"No job has a figure that fits {', '.join(unknown)}; there are: {', '.join(keys)}.")


def table_rows(sweep: Sweep, patterns: Sequence[str] = FIGURES) -> list[list[str]]:
    """Return a header and one row per job: index, state, attempts, varied settings, figures."""
    settings, figures = swept_settings(sweep.jobs), chosen_figures(sweep.jobs, patterns)
    rows = [["job", "state", "attempts", *settings, *figures]]
    for position, job in enumerate(sweep.jobs):
        state = job.state
        values = [column[position] for column in figures.values()]
        rows.append(
            [
                str(job.number),
                state.name,
                str(state.attempts),
                *(column[position] for column in settings.values()),
                *("" if value is None else f"{value:.4g}" for value in values),
            ]
        )
    return rows


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as text in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write rows as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def plot_effects(path: Path, sweep: Sweep, patterns: Sequence[str] = FIGURES) -> bool:
    """Plot every chosen figure over every varied setting.

    A panel has one dot per job, and a line through the means of each value. The seed gets no line: seeds have no order.

    Args:
        path: Picture to write.
        sweep: Sweep to plot.
        patterns: Patterns of keys of metrics.json.

    Returns:
        False, without a picture, if no setting was varied or no job has such a figure.
    """
    settings, figures = swept_settings(sweep.jobs), chosen_figures(sweep.jobs, patterns)
    if not settings or not figures:
        return False
    plt = pyplot()
    size = (1 + 3.2 * len(settings), 0.6 + 2.4 * len(figures))
    grid, axes = plt.subplots(len(figures), len(settings), squeeze=False, sharey="row", figsize=size)
    for row, (key, values) in zip(axes, figures.items(), strict=True):
        for axis, (setting, column) in zip(row, settings.items(), strict=True):
            measured = [(text, value) for text, value in zip(column, values, strict=True) if value is not None]
            order = sorted({text for text, _ in measured}, key=_as_number)
            axis.plot([order.index(text) for text, _ in measured], [value for _, value in measured], "o", alpha=0.5)
            if setting != "seed":
                means = [statistics.fmean(value for text, value in measured if text == choice) for choice in order]
                axis.plot(range(len(order)), means, "-", color="black", linewidth=1)
            axis.set_xticks(range(len(order)), order)
            axis.set_xlabel(setting)
        row[0].set_ylabel(key, fontsize="small")
    grid.tight_layout()
    grid.savefig(path, dpi=110)
    plt.close(grid)
    return True


def _as_number(text: str) -> tuple[int, float, str]:
    """Return a key that sorts numbers by value, before any other text."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
