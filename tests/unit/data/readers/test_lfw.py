"""LFW: images, and the official pairs file."""

import pytest

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.lfw import read_lfw, read_pairs

PAIRS = (
    "2\t1\nAbel_Pacheco\t1\t4\nAbdel_Madi_Shabneh\t1\tDean_Barker\t1\nZico\t2\t3\nAbel_Pacheco\t2\tJong_Thae_Hwa\t12\n"
)


@pytest.fixture
def pairs(tmp_path):
    def write(text):
        file = tmp_path / "pairs.txt"
        file.write_text(text)
        return file

    return write


def test_folds_alternate_genuine_and_impostor_pairs(pairs):
    assert read_pairs(pairs(PAIRS)) == [
        Pair("Abel_Pacheco/Abel_Pacheco_0001.jpg", "Abel_Pacheco/Abel_Pacheco_0004.jpg", True, 0),
        Pair("Abdel_Madi_Shabneh/Abdel_Madi_Shabneh_0001.jpg", "Dean_Barker/Dean_Barker_0001.jpg", False, 0),
        Pair("Zico/Zico_0002.jpg", "Zico/Zico_0003.jpg", True, 1),
        Pair("Abel_Pacheco/Abel_Pacheco_0002.jpg", "Jong_Thae_Hwa/Jong_Thae_Hwa_0012.jpg", False, 1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with"),
        ("300\n", "does not begin with"),
        (PAIRS.replace("2\t1\n", "3\t1\n", 1), "lists 4 pairs where its header announces 3 x 2 x 1 = 6"),
        (PAIRS.replace("Zico\t2\t3", "Zico\t2\tAbel_Pacheco\t3"), "line 4 is not '<person><tab><i><tab><j>'"),
        (PAIRS.replace("Zico\t2\t3", "Zico\t2\tthree"), "line 4 is not"),
    ],
)
def test_a_broken_pairs_file_is_refused(pairs, text, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(pairs(text))


def test_missing_images_are_counted_and_named(pairs):
    names = {"Abel_Pacheco/Abel_Pacheco_0001.jpg", "Zico/Zico_0002.jpg", "Zico/Zico_0003.jpg"}
    with pytest.raises(
        ValueError,
        match=r"pairs.txt line 2 names Abel_Pacheco/Abel_Pacheco_0004.jpg, the first of 5 images that are missing from",
    ):
        read_pairs(pairs(PAIRS), names)


def test_the_line_of_a_missing_image_counts_empty_lines(pairs):
    names = {"Abel_Pacheco/Abel_Pacheco_0001.jpg", "Abel_Pacheco/Abel_Pacheco_0004.jpg"}
    with pytest.raises(ValueError, match=r"line 4 names Abdel_Madi_Shabneh/Abdel_Madi_Shabneh_0001.jpg"):
        read_pairs(pairs(PAIRS.replace("Abdel", "\nAbdel", 1)), names)


def test_images_are_all_for_testing(tmp_path, picture):
    picture(tmp_path / "lfw-deepfunneled" / "Zico" / "Zico_0002.jpg")
    (record,) = read_lfw(tmp_path)
    assert (record.name, record.identity, record.split) == ("Zico/Zico_0002.jpg", "Zico", "test")
    with pytest.raises(FileNotFoundError, match="lfw-funneled is not a folder"):
        read_lfw(tmp_path, images="lfw-funneled")
