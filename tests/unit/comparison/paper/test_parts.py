"""The table of the parts of RIM, by hand."""

import pytest

from rim_lightning.comparison.paper.parts import COLUMNS, CONSTANT, parts_table
from rim_lightning.comparison.paper.rows import HALLUCINATION_PARTS, RECOGNITION_PARTS
from rim_lightning.comparison.plan.plan import NotTrained, Run
from tests.helpers.configurations import configuration
from tests.helpers.laboratory import KnownFigures, as_dicts

FHN = {"val/psnr_gain": 1.25, "val/nme/ibug68": 6.5, "val/miou": 0.4, "val/nme/ibug68_constant": 7.8}
RIM = {"val/rim/auc": 0.98, "val/rim/tar_at_far_1e-2": 0.75, "val/camera/rim/auc": 0.86}
DISTILLED = {"val/recognizer/auc": 0.97, "val/camera/recognizer/tar_at_far_1e-2": 0.3}
FIGURES = {
    "coarse": [FHN | {"val/nme/ibug68": float("nan")}],
    "fhn": [FHN | RIM | {"val/miou_constant": 0.35}],
    "rim": [FHN | RIM, FHN | RIM | {"val/psnr_gain": 1.75, "val/rim/auc": 0.984}],
    "distillation_more": [DISTILLED],
}


class Runs(KnownFigures.networks):
    """The runs of four systems; those of one are damaged."""

    @staticmethod
    def validation_figures(name):
        if name == "fhn_with_queue":
            raise OSError("metrics.json is gone")
        if name not in FIGURES:
            raise NotTrained(Run("key", None, (), name, ()))
        return FIGURES[name]


class Laboratory(KnownFigures):
    networks = Runs


@pytest.fixture
def rows():
    return {row["what is changed"]: row for row in as_dicts(parts_table(Laboratory()))}


def test_figures_stand_beside_those_of_a_constant_answer(rows):
    assert next(iter(rows)) == CONSTANT
    assert list(rows[CONSTANT].values())[1:5] == ["0.00", "7.80", "0.350", ""]
    assert list(rows["FHN of RIM"].values())[1:] == ["1.25", "6.50", "0.400", "", "", "", "", "12.3", "123"]
    assert rows["coarse only"]["landmark error, %"] == ""


def test_seeds_are_a_mean_with_half_of_its_interval(rows):
    """Two seeds d apart: half the interval is t(.975, 1) · d / 2, with t = 12.7062."""
    assert rows["RIM"]["gain over bicubic, dB"] == f"1.50 ± {12.7062 * 0.25:.2f}"
    assert rows["RIM"]["AUC"] == f"0.9820 ± {12.7062 * 0.002:.4f}"
    assert rows["RIM"]["TAR@FAR 1e-2"] == "0.750 ± 0.000"
    assert rows["RIM"]["camera: TAR@FAR 1e-2"] == ""


def test_recognizers_without_hallucination_have_their_own_names(rows):
    row = rows["distillation, same tricks"]
    assert [row[column] for column in COLUMNS[1:8]] == ["", "", "", "0.9700", "", "", "0.300"]


def test_what_is_missing_says_why(rows):
    assert rows["FHN, two turns"]["gain over bicubic, dB"] == "not yet run"
    assert (
        rows["FHN, L_domain among 256 faces of each domain"]["gain over bicubic, dB"] == "failed: metrics.json is gone"
    )


def test_every_part_is_a_system_of_the_configuration():
    systems = configuration("compare", ["paths.output_dir=unused"]).systems
    parts = {*HALLUCINATION_PARTS, *RECOGNITION_PARTS}
    assert parts <= set(systems)
    assert {name for name in systems if name.startswith(("fhn", "rim_"))} - parts == {"rim_from_scratch"}
