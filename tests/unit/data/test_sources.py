"""Sources are prepared where their stores are missing."""

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.data.readers.record import Record
from rim_lightning.data.sources import Source, prepare_missing
from rim_lightning.data.stores.prepared import PreparedStore


def source(folder, name):
    (folder / name).mkdir(parents=True)
    image = folder / name / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(image)
    return Source(name, lambda: [Record("a.png", image, None, "test", {"five": FIVE_POINT_TEMPLATE_112 * 0.4})])


def test_every_source_has_a_store_of_its_name_and_size(tmp_path):
    sources = [source(tmp_path / "files", name) for name in ("helen", "lfw")]
    for size in (32, 32, 48):  # the second call has nothing to do
        prepare_missing(sources, tmp_path / "prepared", size, workers=0)
    stores = [folder for folder in sorted((tmp_path / "prepared").iterdir()) if folder.is_dir()]
    assert [folder.name for folder in stores] == ["helen_32", "helen_48", "lfw_32", "lfw_48"]
    assert [PreparedStore(folder).hr_size for folder in stores] == [32, 48, 32, 48]
    assert PreparedStore(stores[0]).manifest["name"] == "helen"


def test_the_files_of_a_source_that_are_missing_are_named(tmp_path):
    def read():
        raise FileNotFoundError("data/helen is not a folder; expected photographs there.")

    with pytest.raises(FileNotFoundError, match="data/helen is not a folder"):
        prepare_missing([Source("helen", read)], tmp_path, 32, workers=0)
