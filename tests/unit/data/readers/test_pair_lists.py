"""Pair lists: CALFW and CPLFW as published, and plain tables."""

import hashlib
from itertools import combinations

import pytest

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.pair_lists import read_annotated_pairs, read_pair_csv, write_pair_csv

PAIRS = [Pair("a/1.jpg", "a/2.jpg", True, 0), Pair("a/1.jpg", 'b, "c".jpg', False, 1)]


@pytest.fixture
def listing(tmp_path):
    def write(text):
        file = tmp_path / "pairs.txt"
        file.write_text(text)
        return file

    return write


def annotated(flags):
    """Lines of a list with 2 genuine and 1 impostor pairs a fold: person p's images are p_1.jpg and p_2.jpg."""
    lines = [f"{p}_{i}.jpg {flags[p // 2]}\n" for p in range(20) for i in (1, 2)]
    return lines + [f"{p}_1.jpg 0\n" for p in range(20)]


@pytest.mark.parametrize("flags", [[1] * 10, list(range(1, 11))], ids=["CPLFW", "CALFW"])
def test_folds_are_tenths_of_either_kind(listing, flags):
    pairs = read_annotated_pairs(listing("".join(annotated(flags))))
    assert pairs[:20] == [Pair(f"{p}_1.jpg", f"{p}_2.jpg", True, p // 2) for p in range(20)]
    assert pairs[20:] == [Pair(f"{2 * k}_1.jpg", f"{2 * k + 1}_1.jpg", False, k) for k in range(10)]
    people = [{name.split("_")[0] for pair in pairs if pair.fold == k for name in pair[:2]} for k in range(10)]
    assert not any(a & b for a, b in combinations(people, 2))


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "1_1.jpg\n", "line 3 is not '<image> <flag>'"),
        (2, "1_1.jpg yes\n", "line 3 is not '<image> <flag>'"),
        (2, "1_1.jpg 0\n", "lines 3 and 4 are one pair but have flags 0 and 1"),
        (2, "", "has 59 lines; expected two per pair"),
        (58, "\n", "has 59 lines"),
        (slice(58, 60), [], "lists 29 pairs, of which 20 genuine; expected 10 folds"),
        (slice(40, 60), [], "lists 20 pairs, of which 20 genuine"),
        (slice(4, 6), ["2_1.jpg 9\n", "2_2.jpg 9\n"], "line 1 has flag 1|line 5 has flag 9 where .* fold 2"),
    ],
)
def test_a_broken_annotated_list_is_refused(listing, line, text, message):
    lines = annotated([1] * 10)
    lines[line] = text
    with pytest.raises(ValueError, match=message):
        read_annotated_pairs(listing("".join(lines)))


def test_a_missing_image_is_named_with_its_line(listing):
    file = listing("".join(annotated([1] * 10)))
    names = {f"{p}_{i}.jpg" for p in range(20) for i in (1, 2)}
    assert len(read_annotated_pairs(file, names)) == 30
    with pytest.raises(ValueError, match=r"pairs.txt line 3 names 1_1.jpg, the first of 2 images .*; prepare"):
        read_annotated_pairs(file, names - {"1_1.jpg", "5_2.jpg"})
    with pytest.raises(FileNotFoundError, match="two lines"):
        read_annotated_pairs(file.with_name("none.txt"))


def test_a_table_is_read_as_it_was_written(tmp_path):
    digest = write_pair_csv(tmp_path / "pairs.csv", PAIRS)
    content = (tmp_path / "pairs.csv").read_bytes()
    assert content == b'gallery,probe,same,fold\na/1.jpg,a/2.jpg,1,0\na/1.jpg,"b, ""c"".jpg",0,1\n'
    assert digest == hashlib.sha256(content).hexdigest()
    assert read_pair_csv(tmp_path / "pairs.csv") == PAIRS
    with pytest.raises(ValueError, match=r"line 3 names b, .*the first of 1 images"):
        read_pair_csv(tmp_path / "pairs.csv", {"a/1.jpg", "a/2.jpg"})


def test_a_table_without_folds_is_one_fold(listing):
    assert read_pair_csv(listing("gallery,probe,same\nx,y,1\n")) == [Pair("x", "y", True, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not the header gallery,probe,same,fold"),
        ("x,y,1\n", "is not the header"),
        ("gallery,probe,same\n", "and then pairs"),
        ("gallery,probe,same\nx,y,1\nx,y,2\n", "line 3 is not 'gallery,probe,same'"),
        ("gallery,probe,same\nx,y,1,0\n", "line 2 is not"),
        ("gallery,probe,same,fold\nx,y,1\n", "line 2 is not"),
        ("gallery,probe,same,fold\nx,y,1,-1\n", "line 2 is not"),
    ],
)
def test_a_broken_table_is_refused(listing, text, message):
    with pytest.raises(ValueError, match=message):
        read_pair_csv(listing(text))
