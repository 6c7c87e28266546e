"""The page of a card says what the card says."""

from dataclasses import replace

import numpy as np

from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card_page import card_page

THRESHOLDS = np.broadcast_to([0.5, np.nan], (1, 1, 2, 2))
FRRS = np.broadcast_to([[0.4321, np.nan], [0.125, np.nan]], (1, 1, 2, 2))
PEOPLE = Calibration("faces_128, val", "0", 370, 1200, 34000, (1,), (8, 16), (1e-2, 1e-3), THRESHOLDS, FRRS, False)
CARD = {
    "version": "0.2",
    "architecture": {"arguments": {"lr_size": 16, "hr_size": 128}},
    "fingerprint": "0123456789abcdef",
    "files": {"model.safetensors": "0"},
    "calibration": None,
    "license": "The code is MIT.",
    "limits": ["One.", "Two."],
}


def test_a_page_has_training_terms_error_rates_and_figures():
    card = CARD | {
        "files": {"model.safetensors": "0", "NOTICE": "1"},
        "training": {"command": "rim-train experiment=rim_128", "sets": ["celeba", "faces"], "faces": 1234567},
        "terms": "Research use.",
        "half_precision_change": 0.00042,
        "calibration": PEOPLE.to_plain(),
        "metrics": {
            "sr/helen/psnr_y": 27.516,
            "sr/helen/bicubic/psnr_y": 24.484,
            "sr/helen/ssim_y": 0.7666,
            "verification/lfw/16/rim/accuracy": 0.9754,
            "verification/lfw/16/rim/accuracy_low": 0.97,
            "verification/lfw/16/rim/accuracy_high": 0.9809,
            "verification/lfw/16/teacher_bicubic/accuracy": 0.8462,
            "verification/lfw/8/rim/accuracy": 0.9,
            "verification/lfw/hr/teacher/accuracy": 0.99,
        },
    }
    page = card_page(card)
    for line in (
        "# RIM, 16 → 128 px",
        "- Trained by `rim-train experiment=rim_128`",
        "- Sets: celeba, faces",
        "- Faces seen: 1,234,567",
        "- Weights in half precision, which changes a similarity by 0.0004 at most",
        "Research use.",
        "| probe | FAR 0.01 | FAR 0.001 |",
        "|---|---|---|",
        "| 8 px | 43.2% | – |",
        "| 16 px | 12.5% | – |",
        "| lfw | 8 px | – | .900 | – … – |",
        "| lfw | 16 px | .846 | .975 | .970 … .981 |",
        "| helen | 24.48 dB | 27.52 dB | – | .767 |",
        "- Two.",
    ):
        assert line in page.splitlines(), line
    assert "photographs of 370 people (faces_128, val): 1,200 genuine and 34,000 impostor pairs" in page
    assert page.index("| lfw | 8 px") < page.index("| lfw | 16 px")


def test_what_the_card_does_not_know_is_left_out():
    page = card_page(CARD)
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == ["# RIM, 16 → 128 px", "## Terms", "## Limits"]


def test_intervals_and_costs_stand_in_the_table():
    shape = (1, 1, 2, 2)
    intervals = np.broadcast_to([0.005, 0.02, 0.4, 0.46], (*shape, 4))
    ratios = np.broadcast_to([-1.0, 5.0, 2.0, 0.618, 0.6], (1, 1, 2, 5))
    page = card_page(CARD | {"calibration": replace(PEOPLE, intervals=intervals, ratios=ratios).to_plain()})
    for line in ("| probe | FAR 0.01 | FAR 0.001 | Cllr |", "| 8 px | 43.2% (40.0% … 46.0%) | – | 0.62 |"):
        assert line in page.splitlines(), line
