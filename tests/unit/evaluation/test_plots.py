"""Pictures of a report: curves over several attempts, and panels with and without labels."""

import pytest
import torch
from PIL import Image

from rim_lightning.evaluation.hallucination import Panel
from rim_lightning.evaluation.plots import _logged_rows, plot_curves, plot_panel
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


@pytest.mark.parametrize(("label", "columns"), [(UNLABELED, 7), (3, 8)])
def test_a_panel_has_a_column_for_true_parsing_if_there_is_any(tmp_path, label, columns):
    faces = torch.zeros(2, 3, 16, 16)
    classes = torch.full((2, 16, 16), 3)
    truth = torch.full((2, 16, 16), label, dtype=torch.uint8)
    psnr = torch.tensor([20.0, 25.0])
    panel = Panel(faces[..., :4, :4], faces, faces, faces, faces, faces[:, 0], classes, truth, psnr, psnr)
    plot_panel(tmp_path / "panel.png", panel)
    assert Image.open(tmp_path / "panel.png").width == int(1.6 * columns * 110)
