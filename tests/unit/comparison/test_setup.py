"""Sets of pairs of a comparison."""

from rim_lightning.comparison.setup import _pairs
from rim_lightning.data.stores.prepared import PreparedStore
from tests.helpers.packs import write_pack


def test_a_pack_needs_no_store_and_is_prepared_once(tmp_path):
    _, labels = write_pack(tmp_path / "calfw.bin", 20)
    settings = {"kind": "pack", "file": str(tmp_path / "calfw.bin")}
    for _ in range(2):
        pairs = _pairs("CALFW", settings, {}, str(tmp_path / "prepared"), 32)
        assert pairs.title == "CALFW"
        assert pairs.same.tolist() == labels
    assert settings["kind"] == "pack"
    assert len(PreparedStore(tmp_path / "prepared" / "calfw_pack_32")) == 40
