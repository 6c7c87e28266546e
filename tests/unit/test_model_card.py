"""The figures of the model card are those of the committed tables."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def rows(page, header):
    """Cells of the rows of the first table whose header begins so."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return [table[0], *table[2:]]


def test_error_rates_by_size_are_those_of_the_sweep():
    header, *sweep = rows("tables/sweep.md", "| system | probe made by | figure |")
    columns = {size: header.index(size) for size in header[3:]}
    figures = {tuple(row[:3]): row for row in sweep}

    def figure(system, size, name):
        size, harder, _ = size.partition(" with blur, noise, JPEG")
        return float(figures[system, "realistic" if harder else "bicubic", name][columns[size]])

    card = rows("model_card.md", "| probe | accuracy |")[1:]
    assert len(card) == 11
    for size, accuracy, of_teacher, far, tar in card:
        assert accuracy == short(figure("RIM", size, "accuracy")), size
        assert of_teacher == short(figure("teacher", size, "accuracy")), size
        assert far == f"{100 * figure('RIM', size, 'FAR at the threshold for 0.01'):.1f} %", size
        assert tar == f"{100 * figure('RIM', size, 'TAR at that threshold'):.1f} %", size


def short(value):
    return f"{value:.3f}".removeprefix("0")


def test_figures_in_the_text_are_in_the_tables_they_come_from():
    text = (DOCS / "model_card.md").read_text().partition("### Over all pairs")[2].partition("### By groups")[0]
    tables = "".join((DOCS / "tables" / f"{name}.md").read_text() for name in ("table_3", "table_4", "identification"))
    known = set(re.findall(r"(?<![\d.])0?(\.\d{3}|\d\d\.\d\d)(?!\d)", tables + (DOCS / "results.md").read_text()))
    quoted = set(re.findall(r"(?<![\d.])0?(\.\d{3}|\d\d\.\d\d)(?!\d)", text))
    assert len(quoted) > 12
    assert not quoted - known
