"""Closed-set identification: the share of probes whose person is among the first gallery images."""

from collections.abc import Mapping, Sequence

import torch

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.cells import FIRST_SEED, NO_DATA, attempt, rows_with_progress
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import SearchSet
from rim_lightning.functional.bootstrap import person_interval

TEACHER_ON_SR = ("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER))


def make_identification_table(comparison: Comparison) -> Table:
    """Make the table of identification on the sets of the protocol."""
    sets = comparison.search_sets()
    sizes = [
        f"{people.title}: {len(people.probe)} probes, {len(people.gallery)} gallery images."
        for people in sets.values()
        if people is not None
    ]
    table = identification_table(comparison.laboratory, sets, comparison.settings["ranks"])
    return table._replace(notes=[FIRST_SEED, *sizes])


def identification_table(laboratory: Laboratory, sets: Mapping[str, SearchSet | None], ranks: Sequence[int]) -> Table:
    """Measure the first seed of each system.

    Args:
        laboratory: Measures the systems.
        sets: Name -> people; None for a set that is not available.
        ranks: Ranks of the columns, at least one; the first one has an interval.
    """
    columns = ["system"]
    for name in sets:
        columns += [f"{name}: rank {ranks[0]} (95 %)", *(f"{name}: rank {rank}" for rank in ranks[1:])]
    lines = []
    for label, reading in rows_with_progress((*SWEEP, TEACHER_ON_SR)):
        line = [label]
        for people in sets.values():
            line += _cells(laboratory, reading, people, ranks)
        lines.append(line)
    return Table("Identification", columns, lines)


def _cells(laboratory: Laboratory, reading: Reading, people: SearchSet | None, ranks: Sequence[int]) -> list[str]:
    """Format the share of probes at each rank; or the reason, in the first cell, why it is missing."""
    empty = [""] * (len(ranks) - 1)
    if people is None:
        return [NO_DATA, *empty]
    first_ranks = attempt(laboratory.search, reading, people, laboratory.lr_size)  # (K,)
    if isinstance(first_ranks, str):
        return [first_ranks, *empty]
    persons = people.identity[people.probe]
    low, high = person_interval(first_ranks <= ranks[0], persons, torch.Generator().manual_seed(0))
    rates = [(first_ranks <= rank).double().mean().item() for rank in ranks]
    return [f"{rates[0]:.4f} ({low:.3f} … {high:.3f})", *(f"{rate:.4f}" for rate in rates[1:])]
