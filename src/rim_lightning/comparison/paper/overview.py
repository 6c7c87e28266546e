"""rim_lightning.comparison.paper.overview."""

from collections.abc import Mapping, Sequence

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.cells import NO_DATA, Progress, _accuracy, _ahead, _attempt
from rim_lightning.comparison.paper.rows import Row
from rim_lightning.comparison.paper.write import Table
from rim_lightning.evaluation.protocols import PairSet


def overview_table(
    title: str, rows: Sequence[Row], laboratory: Laboratory, sets: Mapping[str, PairSet | None], progress: Progress
) -> Table:
    """Table 2: the accuracy of every row on every set of pairs; None: a set that is not there.

    "RIM ahead by" compares with the RIM of the row's block: rows from scratch with the one whose teacher is, too.
    """
    columns = ["system"]
    for name in sets:
        columns += [f"{name} (95 %)", f"{name}: RIM ahead by", f"{name} quoted"]
    references = {
        (rim, name): _attempt(laboratory.verify, rim, pairs, laboratory.lr_size)
        for rim in dict.fromkeys(row.rim for row in rows)
        for name, pairs in sets.items()
        if pairs is not None
    }
    lines = []
    for row in progress(rows):
        line = [row.label]
        for name, pairs in sets.items():
            quoted = row.quoted.get(name, "")
            if pairs is None:
                line += [NO_DATA, "", quoted]
                continue
            found = _attempt(laboratory.verify, row.reading, pairs, laboratory.lr_size)
            if isinstance(found, str):
                line += [found, "", quoted]
                continue
            own = row.reading == row.rim or row.reading.sharp
            ahead = "" if own else _ahead(references[row.rim, name], found)
            line += [_accuracy(found.figures), ahead, quoted]
        lines.append(line)
    return Table(title, columns, lines)
