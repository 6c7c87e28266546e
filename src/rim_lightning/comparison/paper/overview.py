"""Table 2: every row on every set of pairs, and which sides are sharp, hallucinated or reduced."""

from collections.abc import Mapping, Sequence

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.cells import (
    NO_DATA,
    accuracy_cell,
    ahead_cell,
    attempt,
    pair_notes,
    rows_with_progress,
)
from rim_lightning.comparison.paper.rows import TABLE_2, Row
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet

COMPARED_WITH = "RIM ahead by: rows from scratch are compared with the RIM whose teacher is from scratch too."


def make_table_2(comparison: Comparison) -> Table:
    """Make table 2: the accuracy of every row on every set of pairs."""
    notes = [COMPARED_WITH, *pair_notes(*comparison.pairs.values())]
    return overview_table(TABLE_2, comparison.laboratory, comparison.pairs)._replace(notes=notes)


def overview_table(rows: Sequence[Row], laboratory: Laboratory, sets: Mapping[str, PairSet | None]) -> Table:
    """Measure rows on sets of pairs.

    "RIM ahead by" compares with the RIM of the row, `Row.rim`.

    Args:
        rows: Systems that embed the two sides of the pairs.
        laboratory: Measures them.
        sets: Name -> pairs; None for a set that is not available.
    """
    columns = ["system"]
    for name in sets:
        columns += [f"{name} (95 %)", f"{name}: RIM ahead by", f"{name} quoted"]
    references = {
        (rim, name): attempt(laboratory.verify, rim, pairs, laboratory.lr_size)
        for rim in dict.fromkeys(row.rim for row in rows)
        for name, pairs in sets.items()
        if pairs is not None
    }
    lines = []
    for row in rows_with_progress(rows):
        line = [row.label]
        for name, pairs in sets.items():
            quoted = row.quoted.get(name, "")
            if pairs is None:
                line += [NO_DATA, "", quoted]
                continue
            verified = attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
            if isinstance(verified, str):
                line += [verified, "", quoted]
                continue
            is_reference = row.reading == row.rim or row.reading.sharp
            ahead = "" if is_reference else ahead_cell(references[row.rim, name], verified)
            line += [accuracy_cell(verified.figures), ahead, quoted]
        lines.append(line)
    return Table("Table 2: sets and sides", columns, lines)
