"""Cells of table 4 by hand."""

from rim_lightning.comparison.paper.hallucination import hallucination_table
from rim_lightning.comparison.paper.rows import TABLE_4
from rim_lightning.evaluation.protocols import FaceSet
from tests.helpers.laboratory import KnownFigures, as_dicts


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
