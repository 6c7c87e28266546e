"""Listings, landmark tables, splits."""

import json

import numpy as np
import pytest

from rim_lightning.data.listing import image_files
from rim_lightning.data.readers.files import hash_split, list_images, read_landmark_table, read_splits, split_of


def test_images_are_listed_in_order_and_other_files_are_not(tmp_path, picture):
    for name in ("b.jpg", "a.PNG"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [file.name for file in list_images(tmp_path, "images")] == ["a.PNG", "b.jpg"]


def test_training_lists_what_use_lists(tmp_path):
    """Also formats that only some data sets have."""
    for name in ("a.jpg", "b.gif", "c.PPM", "d.jp2", "notes.txt", "._a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    names = [file.name for file in list_images(tmp_path, "images")]
    assert names == [file.name for file in image_files(tmp_path)] == ["a.jpg", "b.gif", "c.PPM", "d.jp2"]


def test_a_missing_or_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; expected portraits there"):
        list_images(tmp_path / "nowhere", "portraits")
    with pytest.raises(FileNotFoundError, match="holds no images; expected portraits there"):
        list_images(tmp_path, "portraits")


def test_a_table_of_five_and_68_points(tmp_path):
    header = ["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")]
    header += ["cosine", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    row = ["p/1.jpg", *map(str, range(10)), "0.9", *map(str, range(100, 236))]
    (tmp_path / "t.tsv").write_text("\t".join(header) + "\n" + "\t".join(row) + "\n")
    landmarks = read_landmark_table(tmp_path / "t.tsv")["p/1.jpg"]
    np.testing.assert_array_equal(landmarks["five"], np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(landmarks["ibug68"], np.arange(100, 236).reshape(68, 2))


def test_a_table_with_named_points_and_an_empty_cell(tmp_path):
    parts = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    header = ["image", *(f"{part}_{axis}" for part in parts for axis in "xy")]
    (tmp_path / "t.tsv").write_text("\t".join(header) + "\na.jpg\t1\t2\t3\t4\t\t6\t7\t8\t9\t10\n")
    five = read_landmark_table(tmp_path / "t.tsv")["a.jpg"]["five"]
    np.testing.assert_array_equal(five, [[1, 2], [3, 4], [np.nan, 6], [7, 8], [9, 10]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\tx\n", "no column 'image'"),
        ("", "no column 'image'"),
        ("{header}\na.jpg\t1\t2\n", "line 2 has 3 columns where the header has 11"),
        ("{header}\na.jpg\t1\t2\t3\t4\tfive\t6\t7\t8\t9\t10\n", "line 2 holds something that is not a number"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, text, message):
    header = "\t".join(["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")])
    (tmp_path / "t.tsv").write_text(text.format(header=header))
    with pytest.raises(ValueError, match=message):
        read_landmark_table(tmp_path / "t.tsv")


def test_splits_are_read_by_name(tmp_path):
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"people": {"train": ["a"], "val": ["b"]}}))
    splits = read_splits(file, "people")
    assert splits == {"a": "train", "b": "val"}
    assert split_of("b", splits, file) == "val"
    with pytest.raises(ValueError, match=r"splits.json puts 'c' in no split"):
        split_of("c", splits, file)


def test_broken_splits_are_refused(tmp_path):
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"people": {"train": ["a"], "val": ["a"]}}))
    with pytest.raises(ValueError, match="a name of 'people' in two splits"):
        read_splits(file, "people")
    with pytest.raises(ValueError, match="is not JSON with an entry 'dogs'"):
        read_splits(file, "dogs")


def test_the_hash_split_is_fixed_and_keeps_a_tenth():
    splits = [hash_split(str(i)) for i in range(5000)]
    assert splits == [hash_split(str(i)) for i in range(5000)]
    assert 0.08 < splits.count("val") / 5000 < 0.12
