"""rim-speed: rows from lists of settings, no row measured twice, table and plot."""

import json
import subprocess
import sys

import pytest

from rim_lightning.speed import rows as speed_rows
from rim_lightning.speed.report import plot_scaling, speed_table
from rim_lightning.speed.rows import expand, measure_all, measure_row

FIGURES = {
    "pairs_per_s": 8.0,
    "pairs_per_s_low": 7.0,
    "pairs_per_s_high": 9.0,
    "steps_per_s": 2.0,
    "data_wait": 0.01,
    "memory_gb": 1.5,
    "gflop_per_pair": 100.0,
    "gflop_per_s": 800.0,
    "peak_gflop_per_s": 1600.0,
    "peak_share": 0.5,
    "mmd_share": 0.002,
    "parameters": 2_500_000,
    "device": "a machine",
    "gflop_forward": {"coarse": 10.0, "paths": 20.0},
}


def test_commas_make_rows_and_numbers_make_lines():
    rows = expand(["model=base,small data.batch_size=2,4", "+alternation=sequential"], ["seed=1"])
    assert [row.label for row in rows] == [
        "model=base data.batch_size=2",
        "model=base data.batch_size=4",
        "model=small data.batch_size=2",
        "model=small data.batch_size=4",
        "+alternation=sequential",
    ]
    assert rows[1].overrides == ("seed=1", "model=base", "data.batch_size=4")
    assert [row.series for row in rows] == ["model=base"] * 2 + ["model=small"] * 2 + ["+alternation=sequential"]
    assert [row.x for row in rows] == [("data.batch_size", 2.0), ("data.batch_size", 4.0)] * 2 + [None]
    with pytest.raises(ValueError, match='rows has "a= b c", which is not a list'):
        expand(["a= b c"], [])


def test_a_quoted_value_may_hold_spaces_and_commas():
    (row,) = expand(["data.stores.helen='/my faces, old' seed=1"], [])
    assert row.overrides == ("data.stores.helen='/my faces, old'", "seed=1")
    rows = expand(["name='a b','c d'"], [])
    assert [row.overrides for row in rows] == [("name='a b'",), ("name='c d'",)]
    with pytest.raises(ValueError, match="which is not a list"):
        expand(["name='a b"], [])


def test_every_row_is_measured_once_and_compared_with_the_first(tmp_path, monkeypatch):
    measured = []

    def measure(row, folder, steps, epochs):
        measured.append(row.label)
        if len(measured) == 1:
            return {"failed": "once"}
        if len(measured) == 3:
            raise KeyboardInterrupt
        return FIGURES | {"pairs_per_s": 8.0 * len(measured)}

    monkeypatch.setattr(speed_rows, "measure_row", measure)
    rows = expand(["model=base,small"], [])
    with pytest.raises(KeyboardInterrupt):
        measure_all(rows, tmp_path, 1, 1)
    entries = measure_all(rows, tmp_path, 1, 1)
    assert measured == ["model=base", "model=small", "model=base (again)", "model=base", "model=base (again)"]
    assert [entry["speedup"] for entry in entries] == [1.0, 0.5, 1.25]
    assert json.loads((tmp_path / "speed.json").read_text()) == entries


def test_a_row_that_dies_says_why_and_the_others_are_measured(tmp_path, monkeypatch):
    code = "import os, sys; os.kill(os.getpid(), 9) if 'die' in sys.argv else sys.exit('model=huge is not there')"
    run = speed_rows.subprocess.run
    monkeypatch.setattr(
        speed_rows.subprocess,
        "run",
        lambda command, **options: run([sys.executable, "-c", code, command[-1]], **options),
    )
    (row, dying) = expand(["model=huge", "die=1"], [])
    assert measure_row(row, tmp_path, 1, 1) == {"failed": "model=huge is not there"}
    killed = measure_row(dying._replace(overrides=("die",)), tmp_path, 1, 1)
    assert killed == {"failed": "killed by SIGKILL; lack of memory is the usual reason"}


@pytest.mark.slow
def test_a_row_ends_with_the_command_that_measures_it(tmp_path):
    """A killed rim-speed leaves no row behind, which would slow down what is measured next."""
    code = (
        "import threading; from rim_lightning.commands import speed_row\n"
        "speed_row.measure_training = lambda *given: print('measuring', flush=True) or threading.Event().wait(60)\n"
        "speed_row.main()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "row.json"), "1", "1", "model=tiny"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as row:
        assert row.stdout.readline() == "measuring\n"
        assert row.poll() is None
        row.stdin.close()
        assert row.wait(20) == 1


def test_table_and_plot_show_what_was_measured(tmp_path):
    rows = expand(["data.batch_size=2,4", "model=small"], [])
    entries = [{"label": r.label, "series": r.series, "x": r.x, **FIGURES, "speedup": 1.0} for r in rows]
    entries[1] = {"label": rows[1].label, "series": "", "x": rows[1].x, "failed": "out of memory"}
    text = speed_table(entries)
    assert text.startswith("a machine.")
    assert "| data.batch_size=2 | 8 (7 … 9) | 1.00 | 2 | 100 | 800 | 50% | 1.50 | 1.0% | 0.2% |" in text
    assert "| data.batch_size=4 | failed: out of memory |" in text
    assert "| data.batch_size=2 | 10 | 20 | 2.50 |" in text
    assert plot_scaling(tmp_path / "scaling.png", entries)
    assert (tmp_path / "scaling.png").stat().st_size > 5_000
    assert not plot_scaling(tmp_path / "none.png", entries[2:])
    assert not (tmp_path / "none.png").exists()
