"""The official CelebA: pictures of one folder, whose lists say who they show."""

import numpy as np
import pytest

from rim_lightning.data.readers.celeba import read_celeba_official

HEAD = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
POINTS = [69, 109, 106, 113, 77, 142, 73, 152, 108, 154]


@pytest.fixture
def celeba(tmp_path, picture):
    for number in (1, 2, 4):
        picture(tmp_path / "img_align_celeba" / f"{number:06d}.jpg", (178, 218))
    lines = [f"{number:06d}.jpg  {' '.join(map(str, POINTS))}" for number in range(1, 5)]
    (tmp_path / "list_landmarks_align_celeba.txt").write_text("\n".join(["4", HEAD, *lines]) + "\n")
    (tmp_path / "identity_CelebA.txt").write_text("".join(f"{n:06d}.jpg {2880 + n}\n" for n in range(1, 5)))
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 0\n000004.jpg 2\n")
    return tmp_path


def test_the_lists_are_joined(celeba):
    records = read_celeba_official(celeba)
    assert [record.name for record in records] == ["000001.jpg", "000002.jpg", "000004.jpg"]
    assert [record.identity for record in records] == ["2881", "2882", "2884"]
    assert [record.split for record in records] == ["train", "val", "test"]
    np.testing.assert_array_equal(records[0].landmarks["five"][[0, 4]], [[69, 109], [108, 154]])


def test_the_folders_of_the_download_are_known(celeba, picture):
    for folder, names in {
        "Anno": ["identity_CelebA.txt", "list_landmarks_align_celeba.txt"],
        "Eval": ["list_eval_partition.txt"],
        "Img": ["img_align_celeba"],
    }.items():
        (celeba / folder).mkdir()
        for name in names:
            (celeba / name).rename(celeba / folder / name)
    assert len(read_celeba_official(celeba)) == 3
    (celeba / "Anno" / "list_landmarks_align_celeba.txt").rename(celeba / "Anno" / "list_landmarks_celeba.txt")
    picture(celeba / "img_celeba" / "000003.jpg")
    assert [record.name for record in read_celeba_official(celeba, "img_celeba")] == ["000003.jpg"]


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("identity_CelebA.txt", "000001.jpg x", "line 5 is '000001.jpg x'; expected '<image> <person>'"),
        ("identity_CelebA.txt", "000001.jpg 1 2", "line 5 is"),
        ("list_eval_partition.txt", "000001.jpg 3", "puts 000001.jpg into part 3"),
        ("list_landmarks_align_celeba.txt", "000001.jpg 1 2 3", "line 7 is"),
    ],
)
def test_damaged_lists_are_refused(celeba, file, line, said):
    with (celeba / file).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ValueError, match=said) as caught:
        read_celeba_official(celeba)
    assert str(celeba / file) in str(caught.value)


def test_missing_parts_are_named(celeba, picture):
    picture(celeba / "img_align_celeba" / "000009.jpg")
    with pytest.raises(ValueError, match=r"identity_CelebA.txt does not name 000009.jpg"):
        read_celeba_official(celeba)
    (celeba / "identity_CelebA.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"identity_CelebA.txt does not exist"):
        read_celeba_official(celeba)
    with pytest.raises(ValueError, match="choose img_align_celeba or img_celeba"):
        read_celeba_official(celeba, "img")
    with pytest.raises(FileNotFoundError, match="img_celeba is not a folder"):
        read_celeba_official(celeba, "img_celeba")
