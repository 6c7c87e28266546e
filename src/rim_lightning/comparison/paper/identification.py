"""Identification: is the right person among the first gallery images, and how often does a stranger have a hit?"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.cells import FIRST_SEED, NO_DATA, attempt, rows_with_progress
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import SearchSet
from rim_lightning.functional.bootstrap import person_interval
from rim_lightning.functional.identification import first_ranks
from rim_lightning.functional.open_set import one_picture_search

FPIRS = (0.1, 0.01)
"""False positive identification rates at which the false negative one is given."""
OPEN_SET = (
    "FNIR at FPIR: share of probes without a hit of their person at the lowest threshold at which at most a share FPIR "
    "of the probes have a hit once their own person is taken out of the gallery. Only where the gallery has one image "
    "of each person."
)
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
    return table._replace(notes=[FIRST_SEED, OPEN_SET, *sizes])


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
        columns += [f"{name}: FNIR at FPIR {fpir:g} (95 %)" for fpir in FPIRS]
    lines = []
    for label, reading in rows_with_progress((*SWEEP, TEACHER_ON_SR)):
        line = [label]
        for people in sets.values():
            line += _cells(laboratory, reading, people, ranks)
        lines.append(line)
    return Table("Identification", columns, lines)


def _cells(laboratory: Laboratory, reading: Reading, people: SearchSet | None, ranks: Sequence[int]) -> list[str]:
    """Format the share of probes at each rank and FNIR; or the reason, in the first cell, why it is missing."""
    empty = [""] * (len(ranks) - 1 + len(FPIRS))
    if people is None:
        return [NO_DATA, *empty]
    scores = attempt(laboratory.search, reading, people, laboratory.lr_size)  # (K, G)
    if isinstance(scores, str):
        return [scores, *empty]
    persons = people.identity[people.probe]
    found_at = first_ranks(scores, persons, people.identity[people.gallery])  # (K,)
    low, high = person_interval(found_at <= ranks[0], persons, torch.Generator().manual_seed(0))
    rates = [(found_at <= rank).double().mean().item() for rank in ranks]
    cells = [f"{rates[0]:.4f} ({low:.3f} … {high:.3f})", *(f"{rate:.4f}" for rate in rates[1:])]
    return cells + _open_set_cells(scores, persons, people.identity[people.gallery])


def _open_set_cells(scores: Tensor, probe: Tensor, gallery: Tensor) -> list[str]:
    """Format FNIR at each of `FPIRS`; empty unless the gallery has one image for each person of the probes."""
    searched = one_picture_search(scores, probe, gallery)
    if searched is None:
        return [""] * len(FPIRS)
    cells = []
    for fpir in FPIRS:
        rates = searched.rates(searched.largest, fpir)
        cells.append(f"{rates.fnir:.3f} ({rates.fnir_interval[0]:.3f} … {rates.fnir_interval[1]:.3f})")
    return cells
