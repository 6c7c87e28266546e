"""Files of MATLAB with a cell array of names, whole and hostile."""

import random
import struct
import zlib

CELL, STRUCTURE, CHARACTERS, DOUBLE, FUNCTION, OPAQUE = 1, 2, 4, 6, 16, 17
INT8, INT32, UINT16, UINT32, UTF8, MATRIX, COMPRESSED = 1, 5, 4, 6, 16, 14, 15


def element(kind, content, order="<"):
    return struct.pack(f"{order}II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def short(kind, content, order="<"):
    """An element of up to four bytes, as MATLAB writes it."""
    return struct.pack(f"{order}I", len(content) << 16 | kind) + content.ljust(4, b"\0")


def matrix(kind, shape, name, content, order="<"):
    flags = element(UINT32, struct.pack(f"{order}II", kind, 0), order)
    sizes = element(INT32, struct.pack(f"{order}{len(shape)}i", *shape), order)
    named = element(INT8, name.encode(), order) if len(name) > 4 else short(INT8, name.encode(), order)
    return element(MATRIX, flags + sizes + named + content, order)


def text(letters, order="<", wide=True):
    """A line of text, by letters of two bytes as MATLAB writes it, or in UTF-8 as SciPy does."""
    coded = letters.encode("utf-16-le" if order == "<" else "utf-16-be") if wide else letters.encode()
    return matrix(CHARACTERS, (1, len(letters)), "", element(UINT16 if wide else UTF8, coded, order), order)


def cells(name, rows, order="<", wide=True):
    """A cell array of texts, column by column."""
    columns = list(zip(*rows, strict=True))
    content = b"".join(text(cell, order, wide) for column in columns for cell in column)
    return matrix(CELL, (len(rows), len(columns)), name, content, order)


def mat_file(*variables, order="<", packed=False):
    """A file of version 5 (6), or with packed variables (7)."""
    head = b"MATLAB 5.0 MAT-file, made up".ljust(124) + struct.pack(f"{order}HH", 0x0100, 0x4D49)
    if packed:
        contents = [zlib.compress(variable) for variable in variables]
        variables = [struct.pack(f"{order}II", COMPRESSED, len(content)) + content for content in contents]
    return head + b"".join(variables)


def write_survface_lists(folder, genuine, impostor, **options):
    """Write the two lists of pairs of QMUL-SurvFace's verification test."""
    for name, rows in (("positive_pairs_names", genuine), ("negative_pairs_names", impostor)):
        (folder / f"{name}.mat").write_bytes(mat_file(cells(name, rows), packed=True, **options))


def hostile_mat_files(count, seed, name, rows):
    """Yield damaged files: cut off, with other bytes or sizes before or after packing, or with other variables."""
    rng = random.Random(seed)
    whole = cells(name, rows)
    for number in range(count):
        packed = number % 2 == 0
        variable, way = bytearray(whole), rng.randrange(6)
        if way == 0:
            variable = variable[: rng.randrange(8, len(variable))]
        elif way == 1:
            for _ in range(rng.choice((1, 3, 20))):
                variable[rng.randrange(len(variable))] = rng.randrange(256)
        elif way == 2:  # a type, a size or a shape
            value = rng.choice((0, 1, 7, 8, 15, 19, 20, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
            struct.pack_into("<I", variable, 4 * rng.randrange(len(variable) // 4), value)
        elif way == 3:  # somewhere among the first cells, whose types SciPy would follow anywhere
            variable[rng.randrange(16, 160)] = rng.choice((0, 8, 10, 11, 14, 15, 17, 19, 20, 255))
        elif way == 4:
            kind = rng.choice((STRUCTURE, DOUBLE, FUNCTION, OPAQUE, 0, 3, 255))
            variable = bytearray(matrix(kind, (len(rows), 2), name, bytes(rng.randrange(200))))
        else:
            inner = matrix(CELL, (1, 1), "", text("a.jpg"))
            for _ in range(rng.choice((1, 500))):
                inner = matrix(CELL, (1, 1), "", inner)
            variable = bytearray(matrix(CELL, (len(rows), 2), name, inner * 2 * len(rows)))
        content = bytearray(mat_file(bytes(variable), packed=packed))
        if rng.random() < 0.3:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        yield bytes(content if rng.random() < 0.8 else content[: rng.randrange(len(content))])
