"""A table is written as Markdown, CSV and LaTeX."""

import csv

from rim_lightning.comparison.paper.write import Table, write_table


def test_a_table_is_written_three_times_alike(tmp_path):
    table = Table("A table", ["system", "figure"], [["RIM & co", "50 % ± 1"], ["other", ""]])
    path = write_table(tmp_path, "table", table, ["A note."])
    text = path.read_text().splitlines()
    assert text[0] == "## A table"
    assert "- A note." in text
    assert "| RIM & co | 50 % ± 1 |" in text
    with open(tmp_path / "table.csv") as file:
        assert list(csv.reader(file)) == [table.columns, *table.rows]
    assert r"RIM \& co & 50 \% $\pm$ 1 \\" in (tmp_path / "table.tex").read_text()
