"""Helen as published: 194 points, soft parsing maps, the lists of SmithCVPR2013."""

import numpy as np
import pytest

from rim_lightning.data.readers.helen import load_soft_maps, read_annotation, read_helen, read_smith

POINTS = np.random.default_rng(0).uniform(0, 900, (194, 2)).round(2)


def write_annotation(file, name, points=POINTS):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([name, *(f"{x} , {y}" for x, y in points)]) + "\n")


def write_soft_maps(gray, folder, name, classes):
    """Maps whose most probable class is `classes`, but never by certainty."""
    for number in range(11):
        gray(folder / f"{name}_lbl{number:02d}.png", np.where(classes == number, 120, 10 + number))


def test_an_annotation_is_a_name_and_194_points(tmp_path):
    write_annotation(tmp_path / "1.txt", "100032540_1")
    name, points = read_annotation(tmp_path / "1.txt")
    assert name == "100032540_1"
    np.testing.assert_allclose(points, POINTS)
    write_annotation(tmp_path / "2.txt", "100032540_1", POINTS[:100])
    with pytest.raises(ValueError, match=r"2.txt is not an image name followed by 194 lines"):
        read_annotation(tmp_path / "2.txt")


def test_the_most_probable_class_wins(tmp_path, picture, gray):
    classes = np.random.default_rng(0).integers(0, 11, (5, 6))
    write_soft_maps(gray, tmp_path, "a", classes)
    np.testing.assert_array_equal(load_soft_maps(tmp_path, "a", picture(tmp_path / "a.jpg", (6, 5))), classes)
    doubled = load_soft_maps(tmp_path, "a", picture(tmp_path / "b.jpg", (12, 10)))
    np.testing.assert_array_equal(doubled, classes.repeat(2, axis=0).repeat(2, axis=1))


def test_the_official_layout(tmp_path, picture, gray):
    picture(tmp_path / "helen_1" / "100_1.jpg", (6, 5))
    picture(tmp_path / "helen_2" / "200_1.jpg", (6, 5))
    for number, name in ((1, "200_1"), (2, "100_1"), (3, "300_1")):
        write_annotation(tmp_path / "annotation" / f"{number}.txt", name)
    (tmp_path / "trainnames.txt").write_text("100_1\n300_1\n")
    (tmp_path / "testnames.txt").write_text("200_1\n")
    classes = np.random.default_rng(0).integers(0, 11, (5, 6))
    write_soft_maps(gray, tmp_path / "labels" / "200_1", "200_1", classes)

    first, second, third = read_helen(tmp_path)
    assert [record.name for record in (first, second, third)] == ["100_1.jpg", "200_1.jpg", "300_1.jpg"]
    assert first.split in ("train", "val")
    assert second.split == "test"
    np.testing.assert_allclose(first.landmarks["helen194"], POINTS)
    assert first.load_parsing is None
    np.testing.assert_array_equal(second.load_parsing(), classes)
    assert not third.image.exists()  # annotated, but its photograph was not downloaded: the preparation will say so


def test_smiths_lists_are_the_splits(tmp_path, picture, gray):
    classes = np.random.default_rng(0).integers(0, 11, (5, 6))
    for name in ("100_1", "200_1", "300_1"):
        picture(tmp_path / "images" / f"{name}.jpg", (6, 5))
        write_soft_maps(gray, tmp_path / "labels" / name, name, classes)
    (tmp_path / "exemplars.txt").write_text("1 , 300_1\n")
    (tmp_path / "tuning.txt").write_text("1 , 200_1\n\n")
    (tmp_path / "testing.txt").write_text("1 , 100_1\n")
    records = read_smith(tmp_path)
    assert [(record.name, record.split) for record in records] == [
        ("100_1.jpg", "test"),
        ("200_1.jpg", "val"),
        ("300_1.jpg", "train"),
    ]
    np.testing.assert_array_equal(records[0].load_parsing(), classes)
    (tmp_path / "tuning.txt").write_text("200_1\n")
    with pytest.raises(ValueError, match=r"tuning.txt line 1 is '200_1'; expected '<k> , <name>'"):
        read_smith(tmp_path)


def test_other_layouts_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotation is not a folder; expected 1.txt"):
        read_helen(tmp_path)
    (tmp_path / "annotation").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no Helen; expected annotation/\*.txt"):
        read_helen(tmp_path)
    with pytest.raises(FileNotFoundError, match="images is not a folder; expected the images of SmithCVPR2013"):
        read_smith(tmp_path)
