"""One folder per person."""

import json

import numpy as np
import pytest

from rim_lightning.data.readers.people import read_people


@pytest.fixture
def root(tmp_path, picture):
    for name in ("7201/1.jpg", "7201/2.jpg", "7202/1.jpg", "9/1.jpg"):
        picture(tmp_path / "images" / name)
    (tmp_path / "images" / "9" / "notes.txt").write_text("no image")
    return tmp_path


def test_people_are_folders_and_stay_in_one_split(root):
    splits = {"celeba_identities": {"train": ["7201", "9"], "val": ["7202"]}}
    (root / "splits.json").write_text(json.dumps(splits))
    records = read_people(root / "images", splits=root / "splits.json")
    assert [(record.name, record.identity, record.split) for record in records] == [
        ("7201/1.jpg", "7201", "train"),
        ("7201/2.jpg", "7201", "train"),
        ("7202/1.jpg", "7202", "val"),
        ("9/1.jpg", "9", "train"),
    ]


def test_without_a_split_file_people_are_split_by_name(root):
    by_person = {}
    for record in read_people(root / "images"):
        by_person.setdefault(record.identity, set()).add(record.split)
    assert all(len(splits) == 1 and splits <= {"train", "val"} for splits in by_person.values())


def test_landmarks_come_from_the_table(root):
    header = ["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    row = ["7202/1.jpg", *map(str, range(136))]
    (root / "landmarks68.tsv").write_text("\t".join(header) + "\n" + "\t".join(row) + "\n")
    records = {record.name: record for record in read_people(root / "images", root / "landmarks68.tsv")}
    np.testing.assert_array_equal(records["7202/1.jpg"].landmarks["ibug68"], np.arange(136).reshape(68, 2))
    assert records["7201/1.jpg"].landmarks == {}


def test_another_layout_is_refused(root):
    with pytest.raises(FileNotFoundError, match="no images in sub-folders; expected one folder of images per person"):
        read_people(root / "images" / "7201")
