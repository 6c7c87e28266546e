"""Tables and plots of a sweep whose figures are written by hand."""

import csv
import json

import pytest

from rim_lightning.plotting import pyplot
from rim_lightning.runs import sweep_table
from rim_lightning.runs.state import record_run
from rim_lightning.runs.sweep import new_sweep
from rim_lightning.runs.sweep_table import (
    FIGURES,
    Effect,
    _plot_effect,
    caption,
    check_patterns,
    chosen_figures,
    effect_of,
    plot_effects,
    swept_settings,
    table_rows,
)
from tests.helpers.commands import run_here


@pytest.fixture
def sweep(tmp_path):
    overrides = [["experiment=demo", f"seed={seed}", f"+width={width}"] for seed in (1, 2) for width in (16, 8)]
    sweep = new_sweep(tmp_path, {}).with_jobs(overrides)
    sweep.write()
    for job, gain in zip(sweep.jobs[:3], (1.0, 2.0, 3.0), strict=True):
        with record_run(job.folder):
            figures = {
                "sr/synthetic/psnr_gain_y": gain,
                "sr/synthetic/psnr_y": 20 + gain,
                "verification/x/8/rim/accuracy": 0.5,
            }
            (job.folder / "metrics.json").write_text(json.dumps(figures))
    return sweep


def test_only_what_differs_is_a_column(sweep):
    assert swept_settings(sweep.jobs) == {"seed": ["1", "1", "2", "2"], "width": ["16", "8", "16", "8"]}


def test_rows_hold_states_settings_and_figures(sweep):
    rows = table_rows(sweep)
    assert rows[0] == [
        "job", "state", "attempts", "seed", "width", "sr/synthetic/psnr_gain_y", "verification/x/8/rim/accuracy",
    ]  # fmt: skip
    assert rows[1] == ["0", "finished", "1", "1", "16", "1", "0.5"]
    assert rows[4] == ["3", "waiting", "0", "2", "8", "", ""]
    assert chosen_figures(sweep.jobs, ["sr/*/psnr_y"]) == {"sr/synthetic/psnr_y": [21.0, 22.0, 23.0, None]}


def test_the_plot_has_a_panel_for_every_setting_and_figure(sweep, tmp_path):
    assert plot_effects(tmp_path / "effects.png", sweep)
    assert (tmp_path / "effects.png").stat().st_size > 10_000
    assert not plot_effects(tmp_path / "nothing.png", sweep, ["no/such/figure"])
    assert not plot_effects(tmp_path / "nothing.png", sweep._replace(jobs=sweep.jobs[:1]))
    assert not (tmp_path / "nothing.png").exists()


def test_a_pattern_that_no_figure_fits_is_refused(sweep):
    check_patterns(sweep.jobs, FIGURES)  # two of three fit
    check_patterns(sweep.jobs, ["sr/*/psnr_y"])
    with pytest.raises(
        ValueError, match=r"fits nonsense; there are: sr/synthetic/psnr_gain_y, sr/synthetic/psnr_y, ver"
    ):
        check_patterns(sweep.jobs, ["sr/*/psnr_y", "nonsense"])
    with pytest.raises(ValueError, match="No job has figures yet"):
        check_patterns(sweep.jobs[3:], FIGURES)
    for job in sweep.jobs[:3]:
        (job.folder / "metrics.json").write_text('{"other": 1}')
    with pytest.raises(ValueError, match=r"fits \*/psnr_gain_y, \*/rim/accuracy, val/psnr_gain; there are: other"):
        check_patterns(sweep.jobs, FIGURES)


def test_seeds_are_repetitions_that_give_the_intervals():
    """Means of the seeds by hand: 1, 2 and 3 for "b", of which 4.303 · 1 / √3 is half the 95 % interval."""
    column = ["b"] * 6 + ["10", "9", "a"]
    values = [0.5, 1.5, 1.5, 2.5, 3.0, None, 7.0, 6.0, None]
    seeds = ["1", "1", "2", "2", "3", "3", "1", "1", "1"]
    nine, ten, b = effect_of(column, values, seeds)
    assert (nine.value, nine.jobs, nine.half) == ("9", [6.0], None)
    assert (ten.value, ten.mean) == ("10", 7.0)
    assert (b.value, len(b.jobs), b.mean) == ("b", 5, 1.8)
    assert b.half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


@pytest.mark.parametrize(("values", "joined"), [(["a", "b"], False), (["1", "10"], True), (["true", "1"], False)])
def test_only_numbers_are_joined_by_a_line(values, joined):
    plt = pyplot()
    figure, axis = plt.subplots()
    _plot_effect(axis, [Effect(value, [1.0, 2.0], 1.5, 0.5) for value in values])
    lines = [line for line in axis.lines if line.get_linestyle() == "-" and len(set(line.get_xdata())) > 1]
    assert bool(lines) == joined
    plt.close(figure)


def test_a_seed_is_no_panel(sweep, tmp_path, monkeypatch):
    panels = []
    monkeypatch.setattr(sweep_table, "_plot_effect", lambda axis, effects: panels.append([e.value for e in effects]))
    assert plot_effects(tmp_path / "effects.png", sweep)
    assert panels == [["8", "16"]] * 2  # two figures over the width alone


def test_the_command_prints_and_writes_the_table(sweep):
    printed = run_here("sweep", "table", sweep.folder).stdout
    assert "finished  1         1     16" in printed
    with open(sweep.folder / "table.csv") as file:
        assert list(csv.reader(file)) == table_rows(sweep)
    printed = run_here("sweep", "status", sweep.folder).stdout
    assert "3    waiting   0         2     8" in printed
    assert "experiment" not in printed
    wrong = run_here("sweep", "status", sweep.folder / "0")
    assert wrong.returncode == 1
    assert "holds no sweep" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    wrong = run_here("sweep", "table", sweep.folder, "--figures", "nonsense")
    assert wrong.returncode == 1
    assert "rim-sweep: No job has a figure that fits nonsense; there are:" in wrong.stderr
    assert "finished  1" in wrong.stdout  # the states are shown all the same


@pytest.mark.parametrize(
    ("values", "seeds", "sentence"),
    [
        (["a", "b"], ["1", "1"], "dots: jobs; one seed, hence no intervals"),
        (["a", "a", "b"], ["1", "1", "1"], "small dots: jobs; large dots: means; one seed, hence no intervals"),
        (["a", "a"], ["1", "2"], "small dots: jobs; large dots: means; bars: 95 % interval over 2 seeds"),
    ],
)
def test_the_caption_names_only_marks_that_are_there(values, seeds, sentence):
    assert caption({"system.alternation": values}, seeds) == sentence
