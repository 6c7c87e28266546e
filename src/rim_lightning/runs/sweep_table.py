"""What a sweep found: a table of its jobs, and a plot of the effect of every value that was swept."""

import csv
import statistics
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from rim_lightning.plotting import pyplot
from rim_lightning.runs.sweep import Job, Sweep

FIGURES = ("*/psnr_gain_y", "*/rim/accuracy", "val/psnr_gain")  # shown where nothing else is asked for


def swept_settings(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Setting -> its value in every job ("" where it was not set), for the settings that differ between the jobs."""
    settings = [dict(_pair(override) for override in job.overrides) for job in jobs]
    keys = list(dict.fromkeys(key for job in settings for key in job))
    values = {key: [job.get(key, "") for job in settings] for key in keys}
    return {key: column for key, column in values.items() if len(set(column)) > 1}


def chosen_figures(jobs: Sequence[Job], patterns: Sequence[str] = FIGURES) -> dict[str, list[float | None]]:
    """Key of metrics.json -> its value in every job, None where it has none; for the keys that fit a pattern."""
    figures = [job.figures for job in jobs]
    keys = sorted({key for each in figures for key in each if any(fnmatch(key, pattern) for pattern in patterns)})
    return {key: [each.get(key) for each in figures] for key in keys}


def table_rows(sweep: Sweep, patterns: Sequence[str] = FIGURES) -> list[list[str]]:
    """A header, then one row a job: index, state, attempts, swept settings, figures."""
    settings, figures = swept_settings(sweep.jobs), chosen_figures(sweep.jobs, patterns)
    rows = [["job", "state", "attempts", *settings, *figures]]
    for position, job in enumerate(sweep.jobs):
        state = job.state
        values = [column[position] for column in figures.values()]
        rows.append(
            [
                str(job.index),
                state.name,
                str(state.attempts),
                *(column[position] for column in settings.values()),
                *("" if value is None else f"{value:.4g}" for value in values),
            ]
        )
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with columns under each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Rows as CSV."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def plot_effects(path: Path, sweep: Sweep, patterns: Sequence[str] = FIGURES) -> bool:
    """A picture with one panel for every swept setting and figure: a dot a job, a line through the means of a setting
    other than the seed.

    Returns:
        False, and no picture, where nothing was swept or measured.
    """
    settings, figures = swept_settings(sweep.jobs), chosen_figures(sweep.jobs, patterns)
    if not settings or not figures:
        return False
    plt = pyplot()
    size = (1 + 3.2 * len(settings), 0.6 + 2.4 * len(figures))
    grid, axes = plt.subplots(len(figures), len(settings), squeeze=False, sharey="row", figsize=size)
    for row, (key, values) in zip(axes, figures.items(), strict=True):
        for axis, (setting, column) in zip(row, settings.items(), strict=True):
            known = [(given, value) for given, value in zip(column, values, strict=True) if value is not None]
            order = sorted({given for given, _ in known}, key=_as_number)
            axis.plot([order.index(given) for given, _ in known], [value for _, value in known], "o", alpha=0.5)
            if setting != "seed":  # seeds have no order
                means = [statistics.fmean(value for given, value in known if given == each) for each in order]
                axis.plot(range(len(order)), means, "-", color="black", linewidth=1)
            axis.set_xticks(range(len(order)), order)
            axis.set_xlabel(setting)
        row[0].set_ylabel(key, fontsize="small")
    grid.tight_layout()
    grid.savefig(path, dpi=110)
    plt.close(grid)
    return True


def _pair(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _as_number(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
