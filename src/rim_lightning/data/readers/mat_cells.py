"""Cell arrays of texts in files of MATLAB (`.mat`, version 5 to 7), read without MATLAB and without SciPy.

Only what such a table needs is read: numbers, structures, functions and objects are refused, and nothing is executed.
SciPy's reader (version 1.17) follows the types in a damaged file into foreign memory, which can end the process.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from rim_lightning.files import printable, read_bytes

LARGEST_FILE = 2**26
"""Largest file in bytes, and most bytes of a variable after unpacking. The lists of QMUL-SurvFace have 10,640 names."""

MOST_CELLS = 2_000_000
"""Most cells of a table."""

HEADER = 128
"""Bytes before the first variable: a text, the version, and the order of bytes."""

HDF5 = b"\x89HDF\r\n\x1a\n"
MATRIX, COMPRESSED = 14, 15
CODINGS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
"""Types of letters: int8, uint8, uint16, UTF-8 and UTF-16."""

CELL, CHARACTERS = 1, 4
MOST_AXES = 2


class _Element(NamedTuple):
    """A piece of a file: its type and its bytes."""

    kind: int
    content: memoryview


class _Damaged(Exception):
    """Raised with what is wrong in a file."""


def read_mat_cells(file: Path, variable: str, columns: int) -> list[tuple[str, ...]]:
    """Read a cell array of texts.

    Args:
        file: The file, as `save(file, variable)` of MATLAB writes it. That of `-v7.3`, which is HDF5, is refused.
        variable: Name of the array.
        columns: Number of its columns.

    Returns:
        The texts of each row.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, is damaged or too large, or has no such variable of that shape.
    """
    content = read_bytes(file, "give a list of pairs", LARGEST_FILE)
    if content[:8] == HDF5 or content[:19] == b"MATLAB 7.3 MAT-file":
        raise ValueError(f"{file} is of version 7.3 of MATLAB's files: save it there with '-v7'.")
    try:
        shape, texts = _cells(content, variable)
    except _Damaged as error:
        raise ValueError(f"{file} cannot be read ({error}); expected a file of MATLAB with {variable}.") from None
    except (struct.error, zlib.error, UnicodeDecodeError, OverflowError) as error:
        reason = printable(str(error).strip().split("\n")[0].rstrip(".")[:80])
        raise ValueError(f"{file} is damaged ({reason}); expected a file of MATLAB with {variable}.") from None
    if len(shape) != 2 or shape[1] != columns or not texts:
        sizes = " x ".join(map(str, shape))
        raise ValueError(f"{file}: {variable} is {sizes} cells; expected rows of {columns}.")
    rows = shape[0]
    return [tuple(texts[row + rows * column] for column in range(columns)) for row in range(rows)]


def _cells(content: bytes, variable: str) -> tuple[list[int], list[str]]:
    """Return the shape of a cell array and its texts, column by column."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise _Damaged("it does not begin like a file of MATLAB")
    view, at, names = memoryview(content), HEADER, []
    while at < len(view):
        element, at = _element(view, at, order)
        if element.kind == COMPRESSED:
            element, _ = _element(memoryview(_unpacked(element.content)), 0, order)
        if element.kind != MATRIX:
            raise _Damaged(f"a variable is of the type {element.kind}")
        kind, shape, name, start = _head(element.content, order)
        if name != variable:
            names.append(printable(name[:80]))
            continue
        if kind != CELL:
            raise _Damaged(f"{variable} is no cell array")
        return shape, _texts(element.content, start, math.prod(shape), order)
    raise _Damaged(f"it has no variable {variable}" + (f", but {', '.join(names[:5])}" if names else ""))


def _texts(content: memoryview, at: int, count: int, order: str) -> list[str]:
    if count > min(MOST_CELLS, len(content)):
        raise _Damaged(f"{count} cells")
    texts = []
    for number in range(count):
        element, at = _element(content, at, order)
        kind, shape, _, start = _head(element.content, order) if element.kind == MATRIX else (0, [], "", 0)
        if kind != CHARACTERS or shape[0] != 1:
            raise _Damaged(f"cell {number + 1} is no line of text")
        letters, _ = _element(element.content, start, order)
        texts.append(_text(letters, order))
        if len(texts[-1]) != shape[1]:
            raise _Damaged(f"cell {number + 1} has {len(texts[-1])} characters, not {shape[1]}")
    return texts


def _text(letters: _Element, order: str) -> str:
    coding = CODINGS.get(letters.kind)
    if coding is None:
        raise _Damaged(f"a text is of the type {letters.kind}")
    if coding == "utf-16":
        coding = "utf-16-le" if order == "<" else "utf-16-be"
    return str(letters.content, coding)


def _head(content: memoryview, order: str) -> tuple[int, list[int], str, int]:
    """Return class, shape and name of a matrix, and where what follows begins."""
    flags, at = _element(content, 0, order)
    sizes, at = _element(content, at, order)
    name, at = _element(content, at, order)
    (kind,) = struct.unpack_from(f"{order}I", flags.content)
    shape = list(struct.unpack(f"{order}{len(sizes.content) // 4}i", sizes.content))
    if len(shape) != MOST_AXES or min(shape) < 0:
        raise _Damaged(f"a matrix of the shape {shape[:4]}")
    return kind & 255, shape, str(name.content, "latin1"), at


def _element(content: memoryview, at: int, order: str) -> tuple[_Element, int]:
    """Return the element at a position, and the position of the next one."""
    kind, size = struct.unpack_from(f"{order}II", content, at)
    start, end = at + 8, at + 8 + size
    after = end if kind == COMPRESSED else end + -size % 8
    if kind >> 16:  # a short one: size, type and up to four bytes
        kind, size = kind & 0xFFFF, kind >> 16
        start, end, after = at + 4, at + 4 + size, at + 8
        if size > 4:
            raise _Damaged("a short element of more than 4 bytes")
    if end > len(content):
        raise _Damaged("it ends in the middle of a variable")
    return _Element(kind, content[start:end]), after


def _unpacked(content: memoryview) -> bytes:
    """Unpack a variable whose content ends where it says, up to `LARGEST_FILE`."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(content, LARGEST_FILE)
    if unpacker.unconsumed_tail:
        raise _Damaged(f"a variable of more than {LARGEST_FILE >> 20} MB")
    if not unpacker.eof:
        raise _Damaged("it ends in the middle of a variable")
    return unpacked
