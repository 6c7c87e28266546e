"""The figures of a sweep: a table of its jobs, and a plot of the effect of every setting that was varied."""

import csv
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.files import printable, whole_file
from rim_lightning.plotting import pyplot, save_figure
from rim_lightning.runs.sweep import Job, Sweep, swept_settings
from rim_lightning.runs.words import in_words
from rim_lightning.seeds import seed_interval

FIGURES = ("*/psnr_gain_y", "*/rim/accuracy", "val/psnr_gain")
"""Patterns of the figures that are shown by default."""
SEED = "seed"
"""The setting whose values are repetitions."""


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
    """Format rows as text in aligned columns. Control characters are shown as escapes."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write rows as CSV."""
    with whole_file(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def plot_effects(path: Path, sweep: Sweep, patterns: Sequence[str] = FIGURES) -> bool:
    """Plot every chosen figure over every varied setting but the seed, see `effect_of`.

    A small dot is a job. A large one is the mean of a value, with the 95 % interval over the seeds if there are
    several. A line joins the means of numbers, in their order; other values have none.

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
    seeds = settings.pop(SEED, [""] * len(sweep.jobs))
    settings = settings or {f"all settings alike, {len(set(seeds))} seeds": [""] * len(sweep.jobs)}
    plt = pyplot()
    size = (1.5 + 3.4 * len(settings), 1 + 2.6 * len(figures))
    grid, axes = plt.subplots(
        len(figures), len(settings), squeeze=False, sharex="col", sharey="row", figsize=size, layout="constrained"
    )
    for number, (row, (key, values)) in enumerate(zip(axes, figures.items(), strict=True)):
        for axis, (setting, column) in zip(row, settings.items(), strict=True):
            _plot_effect(axis, effect_of(column, values, seeds))
            if number == len(axes) - 1:
                axis.set_xlabel(printable(setting), fontsize="small")
        row[0].set_ylabel("\n".join(textwrap.wrap(printable(in_words(key)), 30)), fontsize="small")
    grid.suptitle(caption(settings, seeds), fontsize="small")
    save_figure(grid, path)
    return True


def caption(settings: Mapping[str, Sequence[str]], seeds: Sequence[str]) -> str:
    """Say what the marks of `plot_effects` are.

    Args:
        settings: Varied setting -> its value in every job.
        seeds: Seed of every job.
    """
    repeated = any(len(set(column)) < len(column) for column in settings.values())
    dots = "small dots: jobs; large dots: means" if repeated else "dots: jobs"
    count = len(set(seeds))
    return f"{dots}; {f'bars: 95 % interval over {count} seeds' if count > 1 else 'one seed, hence no intervals'}"


class Effect(NamedTuple):
    """A figure over the values of one setting.

    Attributes:
        value: Value of the setting, as it was written.
        jobs: Figure of every job with that value.
        mean: Their mean.
        half: Half the width of the 95 % interval of the mean over the seeds; None if there is one seed.
    """

    value: str
    jobs: list[float]
    mean: float
    half: float | None


def effect_of(column: Sequence[str], values: Sequence[float | None], seeds: Sequence[str]) -> list[Effect]:
    """Summarize a figure for each value of a setting. Seeds are repetitions: they give the intervals.

    Args:
        column: Value of the setting in every job.
        values: Figure of every job; None if it has none.
        seeds: Seed of every job.

    Returns:
        One entry per value, numbers first and in their order.
    """
    effects = []
    for choice in sorted(set(column), key=_as_number):
        of_seeds: dict[str, list[float]] = defaultdict(list)
        for value, figure, seed in zip(column, values, seeds, strict=True):
            if value == choice and figure is not None:
                of_seeds[seed].append(figure)
        if not of_seeds:
            continue
        jobs = [figure for figures in of_seeds.values() for figure in figures]
        means = [statistics.fmean(figures) for figures in of_seeds.values()]
        half = None
        if len(means) > 1:
            mean, _, low, _ = seed_interval(means)
            half = mean - low
        effects.append(Effect(choice, jobs, statistics.fmean(jobs), half))
    return effects


def _plot_effect(axis: Any, effects: Sequence[Effect]) -> None:
    """Draw into an axis of matplotlib: numbers at their places, other values side by side."""
    numeric = bool(effects) and all(_as_number(effect.value)[0] == 0 for effect in effects)
    places = [float(effect.value) for effect in effects] if numeric else [float(i) for i in range(len(effects))]
    repeated = any(len(effect.jobs) > 1 for effect in effects)
    dots = {"alpha": 0.4, "markersize": 4} if repeated else {"markersize": 6}
    for place, effect in zip(places, effects, strict=True):
        axis.plot([place] * len(effect.jobs), effect.jobs, "o", color="C0", linewidth=0, **dots)
        if effect.half is not None:
            axis.errorbar(place, effect.mean, effect.half, color="black", capsize=4, linewidth=1)
    joined = numeric and len(effects) > 1 and (repeated or len(effects) <= 8)
    style = "o-" if joined else "o" if repeated else ""
    if style:
        axis.plot(places, [effect.mean for effect in effects], style, color="black", linewidth=1, markersize=5)
    if numeric:
        if places[0] > 0 and places[-1] / places[0] >= 20:
            axis.set_xscale("log")
        if len(effects) <= 8:
            axis.set_xticks(places, [effect.value for effect in effects])
            axis.set_xticks([], minor=True)
        return
    values = [printable(effect.value) for effect in effects]
    labels = [value if len(value) <= 24 else f"{value[:23]}…" for value in values]
    turned = sum(map(len, labels)) > 30
    axis.set_xticks(places, labels, rotation=30 if turned else 0, ha="right" if turned else "center", fontsize="small")
    axis.set_xlim(-0.6, len(effects) - 0.4)


def _as_number(text: str) -> tuple[int, float, str]:
    """Return a key that sorts numbers by value, before any other text."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
