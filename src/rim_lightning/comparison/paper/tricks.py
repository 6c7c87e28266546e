"""RIM against the same tricks: systems that get everything but the hallucination, over all pairs of people."""

from collections.abc import Mapping, Sequence

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.cells import (
    COST_COLUMNS,
    attempt,
    cost_cells,
    difference_cell,
    rate_cell,
    rows_with_progress,
)
from rim_lightning.comparison.paper.rows import CONTROLS, RIM, SAME_TRICKS, TRICKS, Row
from rim_lightning.comparison.paper.sweep import probe_kinds
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import SeedFigures
from rim_lightning.functional.seeded_probes import ProbeKind

AHEAD_OF_SAME_TRICKS, AHEAD_OF_BEST = "RIM − distillation, same tricks", "RIM − best control"
NOTES = (
    "TAR at a FAR over ALL pairs of a sharp gallery face, read by the teacher, with a probe of these people, and its "
    "95 % interval over other people and, for several seeds, other trainings.",
    f'"{AHEAD_OF_BEST}": the row without hallucination that is best in this cell, which favors the control. The same '
    "people and, with equally many seeds, seed i with seed i.",
    "Same tricks: data, probes of cameras, misalignment, size of the probe as input, contrastive term.",
)

Rates = dict[tuple[str, int], SeedFigures | str | None]
"""Label of a row and size of the probe -> its TAR; a string is the reason why it is missing."""


def make_tricks_table(comparison: Comparison) -> Table:
    """Make the table of RIM against the same tricks on the people that the protocol names."""
    settings = comparison.settings["tricks"]
    people, kinds = comparison.people(), probe_kinds(settings)
    table = tricks_table(comparison.laboratory, people, kinds, settings["fars"], comparison.hr_size)
    sizes = [
        f"{title}: {len(faces.probe.unique())} probes of {_people(faces)} people." for title, faces in people.items()
    ]
    return table._replace(notes=[*NOTES, *sizes])


def tricks_table(
    laboratory: Laboratory,
    people: Mapping[str, PairSet],
    kinds: Mapping[ProbeKind, Sequence[int]],
    fars: Sequence[float],
    hr_size: int,
) -> Table:
    """Measure `TRICKS` over all pairs, in one block of rows for each set of people, way of making probes and FAR.

    Args:
        laboratory: Measures the systems.
        people: Title -> faces whose people are known.
        kinds: Way of making the probe -> sizes that are measured with it, in pixels.
        fars: False accept rates.
        hr_size: Side of the sharp faces in pixels.
    """
    sizes = sorted({size for sizes_of_kind in kinds.values() for size in sizes_of_kind})
    costs = {row.label: cost_cells(laboratory, row.reading.system, row.reading.probe, hr_size) for row in TRICKS}
    blocks = [(title, kind, far) for title in people for kind in kinds for far in fars]
    lines = []
    for title, kind, far in rows_with_progress(blocks):
        rates: Rates = {
            (row.label, size): attempt(laboratory.all_pairs_tar, row.reading, people[title], far, size, kind)
            for row in TRICKS
            for size in kinds[kind]
        }
        place = [title, kind.in_words(), f"{far:g}"]
        for row in TRICKS:
            cells = [_rate_cell(rates.get((row.label, size), "")) for size in sizes]
            lines.append([row.label, *place, *cells, *costs[row.label]])
        for label, reference in ((AHEAD_OF_SAME_TRICKS, SAME_TRICKS), (AHEAD_OF_BEST, None)):
            rows = [row for row in CONTROLS if reference in (None, row.reading)]
            cells = [_ahead_cell(rates, rows, size) for size in sizes]
            lines.append([label, *place, *cells, *[""] * len(COST_COLUMNS)])
    columns = ["system", "people", "probe made by", "FAR", *(f"{size} px: TAR (95 %)" for size in sizes)]
    return Table("RIM against the same tricks", [*columns, *COST_COLUMNS], lines)


def _rate_cell(rates: SeedFigures | str | None) -> str:
    return rate_cell(rates) if isinstance(rates, SeedFigures) else "not measurable" if rates is None else rates


def _ahead_cell(rates: Rates, rows: Sequence[Row], size: int) -> str:
    """Format by how much RIM is ahead of the best of some rows; empty without RIM or without any of them."""
    (rim,) = (rates.get((row.label, size)) for row in TRICKS if row.reading == RIM)
    measured = {row.label: found for row in rows if isinstance(found := rates.get((row.label, size)), SeedFigures)}
    if not isinstance(rim, SeedFigures) or not measured:
        return ""
    best = max(measured, key=lambda label: measured[label].figures.mean().item())
    against = f", against {best}" if len(rows) > 1 else ""
    return difference_cell(rim, measured[best]) + against


def _people(faces: PairSet) -> int:
    assert faces.identity is not None  # only sets of known people come here
    return len(faces.identity[faces.probe].unique())
