"""Images of one folder with a table of people and landmarks."""

import numpy as np
import pytest

from rim_lightning.data.readers.table import read_table

POINTS = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
HEADER = ["image", "identity", *(f"{point}_{axis}" for point in POINTS for axis in "xy"), "sharpness"]


@pytest.fixture
def root(tmp_path, picture):
    """Three images of two people and one of nobody known, in a table; the first person is for validation."""
    people = {"images/a.png": "Ana", "images/b.png": "7", "images/c.png": "", "images/d.png": "Ana"}
    rows = [
        [name, person, *map(str, range(number, number + 10)), "sharp"]
        for number, (name, person) in enumerate(people.items())
    ]
    for name in people:
        picture(tmp_path / name)
    (tmp_path / "faces.tsv").write_text("\n".join("\t".join(row) for row in [HEADER, *rows]) + "\n")
    (tmp_path / "validation.txt").write_text("Ana\n\n")
    return tmp_path


def test_people_and_points_come_from_the_table(root):
    records = read_table(root, root / "faces.tsv", root / "validation.txt")
    assert [(record.name, record.image, record.identity, record.split) for record in records] == [
        ("images/a.png", root / "images/a.png", "Ana", "val"),
        ("images/b.png", root / "images/b.png", "7", "train"),
        ("images/c.png", root / "images/c.png", None, "train"),
        ("images/d.png", root / "images/d.png", "Ana", "val"),
    ]
    np.testing.assert_array_equal(records[1].landmarks["five"], np.arange(1, 11).reshape(5, 2))


def test_without_a_list_of_people_all_images_are_for_training(root):
    assert {record.split for record in read_table(root, root / "faces.tsv")} == {"train"}


def test_wrong_files_are_refused(root):
    with pytest.raises(ValueError, match="has no columns 'image' and 'person'; its first line has image, identity"):
        read_table(root, root / "faces.tsv", people="person")
    (root / "validation.txt").write_text("Ana\n8\n")
    with pytest.raises(ValueError, match=r"validation\.txt names '8', who is not in"):
        read_table(root, root / "faces.tsv", root / "validation.txt")
    (root / "faces.tsv").write_text("\t".join(HEADER) + "\n")
    with pytest.raises(ValueError, match="names no images"):
        read_table(root, root / "faces.tsv")
