"""Pictures of a report: curves over several attempts, and panels with and without labels."""

import math

import pytest
import torch
from PIL import Image

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.evaluation.plots import _logged_rows, plot_curves, plot_panel, with_gaps
from rim_lightning.plotting import pyplot
from rim_lightning.types import UNLABELED


def log(folder, version, rows):
    file = folder / f"version_{version}" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(["step,train/student/stage,val/sr/psnr_y", *rows]) + "\n")


def test_a_resumed_attempt_replaces_what_the_killed_one_did_after_its_checkpoint(tmp_path):
    log(tmp_path, 0, ["9,0.5,", "19,0.4,", "29,0.3,"])
    log(tmp_path, 2, ["20,0.6,", "29,0.2,25.0"])
    log(tmp_path, 10, [])  # stopped before it logged anything
    rows = [(row["step"], row["train/student/stage"]) for row in _logged_rows(tmp_path)]
    assert rows == [("9", "0.5"), ("19", "0.4"), ("20", "0.6"), ("29", "0.2")]
    assert plot_curves(tmp_path / "curves.png", tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    assert not plot_curves(tmp_path / "none.png", tmp_path / "nowhere")


def test_a_curve_breaks_where_only_others_were_logged():
    """Steps 0 to 50: the curve rests at 20 and 30."""
    broken = with_gaps([(0.0, 1.0), (10.0, 2.0), (40.0, 3.0), (50.0, 4.0)], [0.0, 10.0, 20.0, 30.0, 40.0, 50.0])
    assert [step for step, _ in broken] == [0, 10, 20, 40, 50]
    assert [math.isnan(value) for _, value in broken] == [False, False, True, False, False]
    assert with_gaps([(5.0, 1.0)], [0.0, 5.0, 9.0]) == [(5.0, 1.0)]


def test_curves_show_rests_coincident_lines_stages_and_words(tmp_path, monkeypatch):
    file = tmp_path / "version_0" / "metrics.csv"
    file.parent.mkdir()
    keys = "step,stage,train/hallucination/pixel,train/hallucination/coarse,train/student/stage,val/sr/psnr_y"
    rows = ["0,fhn,1,1,,", "10,fhn,1,1,,20.5", "20,student,,,3,", "30,joint,.5,.5,2,"]
    file.write_text("\n".join([keys, *rows]) + "\n")
    figures = []
    plt = pyplot()
    monkeypatch.setattr(plt, "close", figures.append)
    assert plot_curves(tmp_path / "curves.png", tmp_path)
    monkeypatch.undo()
    (figure,) = figures
    hallucination, student, quality = figure.axes
    coarse, pixel = hallucination.lines
    assert math.isnan(dict(zip(coarse.get_xdata(), coarse.get_ydata(), strict=True))[20.0])
    assert coarse.get_linewidth() > pixel.get_linewidth()  # both are seen where they lie on each other
    assert coarse.get_linestyle() != pixel.get_linestyle()
    assert [text.get_text() for text in hallucination.get_legend().get_texts()] == [
        "pixels of the coarse face", "pixels of the hallucinated face",
    ]  # fmt: skip
    assert student.get_title(loc="left") == "training: student"
    assert [text.get_text() for text in quality.get_legend().get_texts()] == ["PSNR of the hallucinated face (dB)"]
    assert [text.get_text() for text in hallucination.texts] == ["fhn", "student", "joint"]
    for axis in figure.axes:  # legends lie beside the data
        assert axis.get_legend().get_window_extent().x0 >= axis.get_window_extent().x1
    plt.close(figure)


@pytest.mark.parametrize(("label", "columns"), [(UNLABELED, 7), (3, 8)])
def test_a_panel_has_a_column_for_true_parsing_if_there_is_any(tmp_path, label, columns):
    faces = torch.zeros(2, 3, 16, 16)
    classes = torch.full((2, 16, 16), 3)
    truth = torch.full((2, 16, 16), label, dtype=torch.uint8)
    psnr = torch.tensor([20.0, 25.0])
    panel = Panel(
        faces[..., :4, :4], faces, faces, faces, faces, {"five": torch.full((2, 5, 2), 7.5)}, classes, truth, psnr, psnr
    )
    plot_panel(tmp_path / "panel.png", panel)
    assert Image.open(tmp_path / "panel.png").width == int(1.6 * columns * 110)
