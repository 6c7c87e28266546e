"""What rim-compare does: prepare, train what is missing, measure, write a table or a figure."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from omegaconf import DictConfig

from rim_lightning.comparison.paper.ablation import make_table_1, make_table_3
from rim_lightning.comparison.paper.alignment import make_alignment_table
from rim_lightning.comparison.paper.cells import FAILED, NOT_RUN
from rim_lightning.comparison.paper.distributions import plot_figure_4
from rim_lightning.comparison.paper.faces import plot_figure_3
from rim_lightning.comparison.paper.groups import make_group_table
from rim_lightning.comparison.paper.hallucination import make_table_4
from rim_lightning.comparison.paper.identification import make_identification_table
from rim_lightning.comparison.paper.overview import make_table_2
from rim_lightning.comparison.paper.parts import make_parts_table
from rim_lightning.comparison.paper.ratios import make_ratio_table
from rim_lightning.comparison.paper.roc import plot_roc_figure
from rim_lightning.comparison.paper.rows import (
    HALLUCINATION_PARTS,
    NOT_REALIGNED,
    RECOGNITION_PARTS,
    SWEEP,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TRICKS,
    systems_of,
)
from rim_lightning.comparison.paper.sweep import make_sweep_table, plot_sweep_figure
from rim_lightning.comparison.paper.tricks import make_tricks_table
from rim_lightning.comparison.paper.write import Table, write_table
from rim_lightning.comparison.plan.plan import Compose
from rim_lightning.comparison.plan.train_missing import train_missing
from rim_lightning.comparison.setup import Comparison, prepare_comparison
from rim_lightning.data.readers.pair_lists import write_pair_csv
from rim_lightning.runs.incomplete import Incomplete
from rim_lightning.runs.progress import say
from rim_lightning.runs.state import only_process

T = TypeVar("T")


class TableRecipe(NamedTuple):
    """How a table is made.

    Attributes:
        make: Function that measures and returns the table.
        systems: Names of the systems that must be trained for it.
        lists_pairs: True if the lists of pairs are written beside it.
    """

    make: Callable[[Comparison], Table]
    systems: tuple[str, ...]
    lists_pairs: bool = True


class FigureRecipe(NamedTuple):
    """How a figure is made.

    Attributes:
        plot: Function that writes the figure to a path and returns the systems that are left out, with the reasons.
        systems: Names of the systems that must be trained for it.
    """

    plot: Callable[[Path, Comparison], dict[str, str]]
    systems: tuple[str, ...]


_swept = [reading for _, reading in SWEEP]

TABLES = {
    "1": TableRecipe(make_table_1, systems_of(row.reading for row in TABLE_1)),
    "2": TableRecipe(make_table_2, systems_of(row.reading for row in TABLE_2)),
    "3": TableRecipe(make_table_3, systems_of(row.reading for row in TABLE_3)),
    "4": TableRecipe(make_table_4, tuple(TABLE_4), lists_pairs=False),
    "tricks": TableRecipe(make_tricks_table, systems_of(row.reading for row in TRICKS), lists_pairs=False),
    "ratios": TableRecipe(make_ratio_table, systems_of(row.reading for row in TRICKS), lists_pairs=False),
    "groups": TableRecipe(make_group_table, systems_of(_swept), lists_pairs=False),
    "parts": TableRecipe(make_parts_table, (*HALLUCINATION_PARTS, *RECOGNITION_PARTS), lists_pairs=False),
    "sweep": TableRecipe(make_sweep_table, systems_of(_swept)),
    "alignment": TableRecipe(make_alignment_table, systems_of((*_swept, NOT_REALIGNED.reading), "fhn", "coarse")),
    "identification": TableRecipe(make_identification_table, systems_of(_swept, "fhn")),
}
FIGURES = {
    "3": FigureRecipe(plot_figure_3, tuple(TABLE_4)),
    "4": FigureRecipe(plot_figure_4, tuple(TABLE_4)),
    "roc": FigureRecipe(plot_roc_figure, systems_of(row.reading for row in (*TABLE_3, *TABLE_1))),
    "sweep": FigureRecipe(plot_sweep_figure, systems_of(_swept)),
}


def compare(cfg: DictConfig, compose: Compose) -> None:
    """Carry out one call of rim-compare.

    Args:
        cfg: A configuration as `conf/compare.yaml` describes it.
        compose: Makes the configuration of rim-train from its overrides.

    Raises:
        FileNotFoundError: If data are missing.
        ValueError: If a setting is wrong.
        Incomplete: If a system could not be trained or measured; the others are written.
    """
    if (cfg.table is None) == (cfg.figure is None):
        raise ValueError(f"Give table={'|'.join(TABLES)} or figure={'|'.join(FIGURES)}.")
    recipe: TableRecipe | FigureRecipe
    if cfg.table is not None:
        recipe = _recipe(TABLES, "table", name := str(cfg.table))
    else:
        recipe = _recipe(FIGURES, "figure", name := str(cfg.figure))
    folder = Path(cfg.paths.output_dir)
    with only_process(folder):
        comparison, untrained = _prepared(cfg, compose, recipe.systems)
        if isinstance(recipe, TableRecipe):
            missing = _write_table(name, recipe, comparison, folder)
        else:
            missing = _write_figure(name, recipe, comparison, folder)
    check_complete(untrained, missing)


def check_complete(untrained: Mapping[str, str], missing: Mapping[str, str]) -> None:
    """Refuse an outcome in which a system could not be trained or measured.

    Args:
        untrained: System -> reason why it could not be trained.
        missing: Row or curve -> reason why it is missing. A system that was not yet run, because nothing asked for its
            training, is no failure.

    Raises:
        Incomplete: If there is such a system. What was measured is written by then.
    """
    broken = [label for label, reason in missing.items() if reason != NOT_RUN]
    if not untrained and not broken:
        return
    parts = []
    if untrained:
        parts.append(f"{len(untrained)} of the systems could not be trained ({', '.join(untrained)})")
    if broken:
        parts.append(f"{len(broken)} could not be measured ({', '.join(broken)})")
    raise Incomplete(f"{'; '.join(parts)}. The reasons stand above; the others are done.", nothing=False)


def _recipe(recipes: Mapping[str, T], kind: str, name: str) -> T:
    if name not in recipes:
        raise ValueError(f'There is no {kind} "{name}"; choose from {", ".join(recipes)}.')
    return recipes[name]


def _prepared(cfg: DictConfig, compose: Compose, systems: tuple[str, ...]) -> tuple[Comparison, dict[str, str]]:
    """Prepare the comparison and train those systems that are missing. Return it, and what could not be trained."""
    comparison = prepare_comparison(cfg, compose)
    untrained: dict[str, str] = {}
    if cfg.train:
        names = [name for name in systems if name in comparison.plan.systems]
        untrained = train_missing(comparison.plan, names, cfg.parallel)
        for name, reason in untrained.items():
            say(f"{name}: {reason}")
    return comparison, untrained


def _write_table(name: str, recipe: TableRecipe, comparison: Comparison, folder: Path) -> dict[str, str]:
    """Measure and write a table. Return its incomplete rows: label -> reason."""
    table = recipe.make(comparison)
    notes = [*protocol_notes(comparison), *table.notes]
    if recipe.lists_pairs:
        folder.mkdir(parents=True, exist_ok=True)
        for title, pairs in comparison.pairs.items():
            if pairs is not None:
                digest = write_pair_csv(folder / f"pairs_{title}.csv", pairs.listed())
                notes.append(f"pairs_{title}.csv, written beside this, has the SHA-256 {digest[:16]}….")
    file = write_table(folder, f"table_{name}" if name.isdigit() else name, table, notes)
    say(*file.read_text(encoding="utf-8").splitlines())
    say(f"Table: {file}, with .csv and .tex beside it")
    return {row[0]: cell for row in table.rows for cell in row if cell == NOT_RUN or cell.startswith(FAILED)}


def _write_figure(name: str, recipe: FigureRecipe, comparison: Comparison, folder: Path) -> dict[str, str]:
    """Measure and plot a figure. Return what is left out: label -> reason."""
    path = folder / f"figure_{name}.png"
    missing = recipe.plot(path, comparison)
    not_run = [label for label, reason in missing.items() if reason == NOT_RUN]
    if not_run:
        say(f"Not yet run, and left out: {', '.join(not_run)}")
    for label, reason in missing.items():
        if reason != NOT_RUN:
            say(f"Left out: {label}: {reason}")
    say(f"Figure: {path}")
    return missing


def protocol_notes(comparison: Comparison) -> list[str]:
    """Return sentences for the head of every table: how systems are trained and measured."""
    plan, lr_size = comparison.plan, comparison.laboratory.lr_size
    total, pace = plan.allowance.amount, ""
    hallucination = total * plan.hallucination_share
    unit = {"faces": "training faces", "work": "TFLOP of training, counted", "budget": "CPU minutes of one thread"}[
        plan.allowance.kind
    ]
    if plan.allowance.kind == "budget" and comparison.accelerator != "cpu":
        unit = "GPU minutes"
        pace = (
            " The minutes are those of the fastest of a few batches, timed while other runs may share the GPU: see how "
            "many faces each system was trained on."
        )
    rates = f" Learning rates: {', '.join(f'{grid.values[0]:g} ({kind})' for kind, grid in plan.grids.items())}."
    if any(len(grid.values) > 1 for grid in plan.grids.values()):
        rates = (
            f" Each system tries its kind's learning rates for {plan.search_share:.0%} of that each and takes the "
            "best on validation faces; variants of RIM take RIM's."
        )
    given = [name for name, system in plan.systems.items() if system.runs]
    exception = f" {', '.join(given)}: runs that were given, of the length that stands in their row." if given else ""
    return [
        f"Budget: {total:g} {unit} for each recognition system, {hallucination:g} for each hallucination network; "
        f"RIM's {total:g} contain those of its hallucination network.{rates}{pace}{exception}",
        f"Probes are aligned {comparison.hr_size} px faces reduced to {lr_size} px by antialiased bicubic, 8 bit, and "
        "enlarged back. Means over seeds where a ± says so. Intervals of 95 % are bootstraps over pairs or faces (over "
        "people for all pairs and for identification) and, for several seeds, Student's t over them. A row "
        "without ± is one seed, whose interval does not know another training.",
        "Quoted: the paper's figures. It does not state its protocol, its tables contradict each other, and its "
        "networks and data were others: they are here for orientation.",
    ]
