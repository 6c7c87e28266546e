"""What an evaluation leaves to read: figures as strict JSON, and tables."""

import json

import pytest

from rim_lightning.evaluation.report import _hallucination_tables, _verification_tables, write_metrics


def test_figures_that_are_not_finite_are_left_out(tmp_path):
    write_metrics(tmp_path / "metrics.json", {"b": 2.0, "a": 1.0, "nan": float("nan"), "inf": float("inf")})
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": 1.0, "b": 2.0}
    assert text.index('"a"') < text.index('"b"')


def test_tables_say_what_was_measured_and_what_was_not():
    figures = {f"sr/x/{prefix}{key}_y": 24.5 for prefix in ("", "coarse/", "bicubic/") for key in ("psnr", "ssim")}
    figures |= {"sr/x/faces": 7.0, "sr/x/psnr_gain_y": 1.25, "sr/x/psnr_gain_y_low": 1.0, "sr/x/psnr_gain_y_high": 1.5}
    assert "| x | 7 | **RIM** | 24.50 | 24.500 | +1.25 dB (+1.00 … +1.50) |" in _hallucination_tables(figures)
    row = {"accuracy": 0.9, "accuracy_std": 0.01, "accuracy_low": 0.85, "accuracy_high": 0.95, "eer": 0.1, "auc": 0.97}
    systems = ("teacher_bicubic", "teacher_sr", "student", "rim")
    figures = {f"verification/x/8/{system}/{key}": value for system in systems for key, value in row.items()}
    figures |= {f"verification/x/hr/teacher/{key}": value for key, value in row.items()}
    figures |= {"verification/x/pairs": 300.0, "verification/x/8/rim/tar_at_far_1e-2": 0.625}
    lines = _verification_tables(figures)
    assert lines[0] == "## Verification on x, 300 pairs"
    best = [line for line in lines if "RIM" in line]
    assert best == ["| 8 px | RIM (student + assistant) | 0.9000 (0.850 … 0.950) | 0.0100 | 0.625 | 0.100 | 0.9700 |"]
    assert sum("not measurable" in line for line in lines) == 4
