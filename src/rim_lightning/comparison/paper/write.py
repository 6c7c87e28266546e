"""rim_lightning.comparison.paper.write."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Table(NamedTuple):
    """Text of a table. Attributes: title. columns, rows: cells as text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def write_table(folder: Path, name: str, table: Table, notes: Sequence[str]) -> Path:
    """Markdown with the protocol in sentences, CSV and LaTeX, under that name; returns the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"## {table.title}", "", *(f"- {note}" for note in notes), ""]
    lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    markdown = folder / f"{name}.md"
    markdown.write_text("\n".join(lines) + "\n")
    with open(folder / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([table.columns, *table.rows])
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in (table.columns, *table.rows)]
    body.insert(1, r"\midrule")
    tabular = [
        r"\begin{tabular}{" + "l" * len(table.columns) + "}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    (folder / f"{name}.tex").write_text("\n".join(tabular) + "\n")
    return markdown


def _latex(cell: str) -> str:
    for character, written in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("±", r"$\pm$")):
        cell = cell.replace(character, written)
    return cell
