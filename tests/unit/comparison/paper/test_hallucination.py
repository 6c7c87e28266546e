"""Cells of table 4 by hand."""

from rim_lightning.comparison.paper.hallucination import constant_cells, hallucination_table
from rim_lightning.comparison.paper.rows import TABLE_4
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.evaluation.constants import constant_figures, constant_priors
from rim_lightning.evaluation.protocols import FaceSet, face_set
from tests.helpers.laboratory import KnownFigures, as_dicts
from tests.helpers.stores import noise_store, small_synthetic_store


def test_hallucination_rows():
    class Two:
        def __len__(self):
            return 2

    table = hallucination_table(KnownFigures(), {"set": FaceSet("set", Two(), "digest")}, 64)
    rows = {row["method"]: row for row in as_dicts(table)}
    assert list(rows) == [label for label, _ in TABLE_4.values()]
    assert rows["bicubic"]["set: PSNR (95 %)"].startswith("21.00 (")
    assert rows["bicubic"]["set: against FHN"].startswith("-3.00")
    assert rows["FHN of RIM"]["set: PSNR (95 %)"].endswith("± 1.41 (seeds)")
    assert "±" not in rows["bicubic"]["set: PSNR (95 %)"]
    assert rows["FHN of RIM"]["landmarks"] == "9.0 %"
    assert rows["FHN of RIM"]["set: against FHN"] == ""
    assert rows["SRCNN"]["set: PSNR (95 %)"] == "not yet run"
    assert rows["SRCNN"]["quoted PSNR / SSIM"] == "25.712 / .713"


def test_cells_of_constants_are_those_of_the_first_set_with_labels(tmp_path):
    poor = noise_store(tmp_path / "poor", ["a", "b"], [None] * 2, {"five": 5}, split="test", hr_size=32)
    rich = small_synthetic_store(tmp_path / "rich", people=8, views=2, hr_size=32)
    sets = {"poor": face_set(str(poor.path), "poor"), "rich": face_set(str(rich.path), "rich")}
    constants = constant_priors([FaceDataset(rich, "train")], ["ibug68"])
    figures = constant_figures(constants, [FaceDataset(rich, "test")])
    expected = [f"{figures['nme/ibug68_constant']:.1f} % (constant)", f"{figures['miou_constant']:.3f} (constant)"]
    assert constant_cells(sets) == expected
