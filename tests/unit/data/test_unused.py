"""Files beside the images of a data set."""

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data.readers.folder import read_folder
from rim_lightning.data.readers.lfw import read_lfw
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.data.readers.record import Record
from rim_lightning.data.unused import unused_files


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    return path


def points(path):
    path.write_text("version: 1\nn_points: 5\n{\n" + "1 2\n" * 5 + "}\n")


def test_points_beside_an_image_are_used_and_its_neighbours_are_named(tmp_path):
    for name in ("trainset/a.jpg", "testset/b.jpg"):
        points(picture(tmp_path / name).with_suffix(".pts"))
    picture(tmp_path / "other" / "c.jpg")
    points(tmp_path / "trainset" / "alone.pts")
    (tmp_path / "trainset" / ".DS_Store").write_bytes(b"x")
    assert unused_files(read_pts(tmp_path)) == (
        {
            "other/c.jpg": "is not in this data set: its reader does not name it",
            "trainset/alone.pts": "is no picture by its ending (.pts)",
        },
        ["trainset/.DS_Store"],
    )


def test_a_flat_folder(tmp_path):
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "more" / "b.jpg")
    assert unused_files(read_folder(tmp_path)).reasons == {
        "more/b.jpg": "lies deeper than the folder that is read: move it up"
    }


def test_only_the_folder_of_the_images_is_searched(tmp_path):
    """The official download has lists and other folders beside it."""
    picture(tmp_path / "lfw" / "Ana" / "Ana_0001.jpg")
    (tmp_path / "pairs.txt").write_text("x")
    (tmp_path / "lfw" / "table.tsv").write_text("image\n")
    assert unused_files(read_lfw(tmp_path, "lfw"), [tmp_path / "lfw" / "table.tsv"]) == ({}, [])


def test_what_was_written_into_the_folder_is_no_part_of_it(tmp_path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "prepared" / "mine_128").mkdir(parents=True)
    for name in ("mine_128/images.npy", "mine.txt"):
        (tmp_path / "prepared" / name).write_bytes(b"x")
    unused = unused_files(read_folder(tmp_path), [tmp_path / "prepared" / "mine_128"])
    assert list(unused.reasons) == ["prepared/mine.txt"]


@pytest.mark.parametrize("name", ["1", "1.jpg"])
def test_a_reader_of_one_s_own(tmp_path, name):
    """Its names may be no paths; an image that is missing does not count."""
    records = [Record(name, picture(tmp_path / "1.jpg"), None, "test", {})]
    records.append(Record("2", tmp_path / "gone" / "2.jpg", None, "test", {}))
    picture(tmp_path / "3.jpg")
    assert list(unused_files(records).reasons) == ["3.jpg"]
