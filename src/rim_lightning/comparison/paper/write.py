"""Write a table as Markdown, CSV and LaTeX."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rim_lightning.files import whole_file, write_text


class Table(NamedTuple):
    """A table as text.

    Attributes:
        title: Title.
        columns: Names of the columns.
        rows: Cells, as many in each row as there are columns.
        notes: Sentences about this table alone.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: Sequence[str] = ()


def write_table(folder: Path, name: str, table: Table, notes: Sequence[str]) -> Path:
    """Write a table as Markdown with notes above it, as CSV and as LaTeX.

    Args:
        folder: Folder of the files, made if it is missing.
        name: Name of the files, without suffix.
        table: The table.
        notes: Sentences above the Markdown table.

    Returns:
        The Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"## {table.title}", "", *(f"- {note}" for note in notes), ""]
    lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    markdown = folder / f"{name}.md"
    write_text(markdown, "\n".join(lines) + "\n")
    with whole_file(folder / f"{name}.csv") as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([table.columns, *table.rows])
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in (table.columns, *table.rows)]
    body.insert(1, r"\midrule")
    tabular = [
        r"\begin{tabular}{" + "l" * len(table.columns) + "}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    write_text(folder / f"{name}.tex", "\n".join(tabular) + "\n")
    return markdown


def _latex(cell: str) -> str:
    for character, written in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("±", r"$\pm$")):
        cell = cell.replace(character, written)
    return cell
