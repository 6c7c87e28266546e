"""Cell arrays of names in files of MATLAB: they are those that SciPy reads, and damaged files end in one sentence."""

import io

import numpy as np
import pytest

from rim_lightning.data.readers.mat_cells import LARGEST_FILE, read_mat_cells
from rim_lightning.data.readers.surveillance import read_survface_pairs
from tests.helpers.mat_files import (
    CELL,
    DOUBLE,
    cells,
    element,
    hostile_mat_files,
    mat_file,
    matrix,
    short,
    text,
    write_survface_lists,
)

NAME = "positive_pairs_names"
ROWS = [(f"{person}_cam1_{person}.jpg", f"{person}_cam{10 * person}_2.jpg") for person in range(1, 8)]


@pytest.mark.parametrize("packed", [False, True])
def test_what_scipy_writes_is_read(tmp_path, packed):
    scipy_io = pytest.importorskip("scipy.io")
    array = np.array([[np.array(cell) for cell in row] for row in ROWS], dtype=object)
    contents = {"other": np.arange(6.0), NAME: array, "last": np.array(["x"], dtype=object)}
    scipy_io.savemat(tmp_path / "pairs.mat", contents, do_compression=packed)
    assert read_mat_cells(tmp_path / "pairs.mat", NAME, 2) == ROWS


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [False, True])
def test_the_letters_of_matlab_are_those_that_scipy_reads(tmp_path, packed, order, wide):
    content = mat_file(cells("n", [*ROWS, ("é.jpg", "abc")], order, wide), order=order, packed=packed)
    (tmp_path / "pairs.mat").write_bytes(content)
    found = read_mat_cells(tmp_path / "pairs.mat", "n", 2)
    assert found == [*ROWS, ("é.jpg", "abc")]
    scipy_io = pytest.importorskip("scipy.io")
    expected = scipy_io.loadmat(io.BytesIO(content))["n"]  # in which an é of two bytes is lost
    assert found[:-1] == [tuple(cell.item() for cell in row) for row in expected[:-1]]


def test_a_short_element_holds_up_to_four_letters(tmp_path):
    line = matrix(4, (1, 2), "", short(4, "ab".encode("utf-16-le")))
    (tmp_path / "pairs.mat").write_bytes(mat_file(matrix(CELL, (1, 2), "n", line + line)))
    assert read_mat_cells(tmp_path / "pairs.mat", "n", 2) == [("ab", "ab")]


LINE = text("a.jpg")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it does not begin like a file of MATLAB"),
        (b"x" * 300, "it does not begin like a file of MATLAB"),
        (b"\x89HDF\r\n\x1a\n" + b"x" * 300, "is of version 7.3 of MATLAB's files: save it there with '-v7'."),
        (mat_file(), "it has no variable n"),
        (mat_file(cells("m", ROWS)), "it has no variable n, but m"),
        (mat_file(matrix(DOUBLE, (1, 2), "n", element(9, bytes(16)))), "n is no cell array"),
        (mat_file(element(9, bytes(16))), "a variable is of the type 9"),
        (mat_file(cells("n", [(name,) for name, _ in ROWS])), "n is 7 x 1 cells; expected rows of 2."),
        (mat_file(matrix(CELL, (0, 2), "n", b"")), "n is 0 x 2 cells"),
        (mat_file(matrix(CELL, (1, 2, 1), "n", LINE * 2)), "a matrix of the shape [1, 2, 1]"),
        (mat_file(matrix(CELL, (-1, 2), "n", LINE * 2)), "a matrix of the shape [-1, 2]"),
        (mat_file(matrix(CELL, (2**20, 2**10), "n", LINE * 2)), "1073741824 cells"),
        (mat_file(matrix(CELL, (1, 2), "n", LINE)), "is damaged"),
        (mat_file(matrix(CELL, (1, 2), "n", LINE + cells("", ROWS))), "cell 2 is no line of text"),
        (mat_file(matrix(CELL, (1, 2), "n", LINE + matrix(4, (2, 3), "", element(4, bytes(12))))), "cell 2 is no line"),
        (mat_file(matrix(CELL, (1, 2), "n", matrix(4, (1, 9), "", element(16, b"a.jpg")))), "cell 1 has 5 characters"),
        (mat_file(matrix(CELL, (1, 2), "n", matrix(4, (1, 5), "", element(9, bytes(40))))), "a text is of the type 9"),
        (mat_file(bytes(LARGEST_FILE + 8), packed=True), "a variable of more than 64 MB"),
    ],
)
def test_another_file_is_refused_in_one_sentence(tmp_path, content, said):
    (tmp_path / "pairs.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"pairs\.mat") as error:
        read_mat_cells(tmp_path / "pairs.mat", "n", 2)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "pairs.mat").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ValueError, match=r"pairs\.mat"):
        read_mat_cells(tmp_path / "pairs.mat", "n", 2)


def test_damaged_lists_end_in_pairs_or_in_one_sentence(tmp_path):
    others = [(a, b) for (a, _), (_, b) in zip(ROWS, ROWS[1:] + ROWS[:1], strict=True)]
    write_survface_lists(tmp_path, ROWS, others)
    whole = read_survface_pairs(tmp_path)
    said = []
    for content in hostile_mat_files(300, 1, NAME, ROWS):
        (tmp_path / f"{NAME}.mat").write_bytes(content)
        try:
            pairs = read_survface_pairs(tmp_path)
        except ValueError as error:
            said.append(str(error))
            continue
        assert len(pairs) == len(whole)
        assert all(pair.gallery.split("_")[0] == pair.probe.split("_")[0] for pair in pairs[: len(ROWS)])
    assert len(said) > 200
    assert all(f"{NAME}.mat" in text and text.isprintable() and len(text) < 500 for text in said)
