"""Pairs of faces in a Parquet file: rows of two pictures and a label, or rows of one picture two by two."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rim_lightning.extras import require_extra
from rim_lightning.files import open_regular

MOST_BYTES = 2**30
"""Most bytes of pictures that are read from a table."""

BATCH = 16  # rows at a time


def read_pair_table(
    file: Path, pictures: Sequence[str] = ("image1", "image2"), same: str = "same"
) -> tuple[list[bytes], list[bool]]:
    """Read encoded faces and labels.

    A cell of a picture holds its bytes, or a structure with a field `bytes`. With two columns of pictures, a row is a
    pair. With one, rows 2i and 2i + 1 are a pair, and both have its label.

    Args:
        file: The table.
        pictures: Names of one or two columns of pictures.
        same: Name of the column of labels: booleans, or 0 and 1.

    Returns:
        The encoded faces, and a label for every two of them.

    Raises:
        MissingExtra: If pyarrow is not installed.
        OSError: If it cannot be read.
        ValueError: If it is no such table, a column is missing, or a cell is wrong.
    """
    require_extra("packed", "A Parquet file")
    if len(pictures) not in (1, 2):
        raise ValueError(f"{file}: {len(pictures)} columns of pictures are named; name one or two.")
    faces: list[bytes] = []
    labels: list[bool] = []
    total = 0
    for row, (cells, label) in enumerate(_rows(file, pictures, same)):
        for column, cell in zip(pictures, cells, strict=True):
            faces.append(_picture(cell, f"{file} row {row}: {column}"))
            total += len(faces[-1])
            if total > MOST_BYTES:
                raise ValueError(f"{file} holds more than {MOST_BYTES >> 20} MB of pictures: divide it.")
        labels.append(_label(label, f"{file} row {row}: {same}"))
    if len(pictures) == 1:
        if len(labels) % 2 or labels[::2] != labels[1::2]:
            raise ValueError(f"{file} has one picture a row, but not every two rows have one label: name two columns.")
        labels = labels[::2]
    return faces, labels


def _rows(file: Path, pictures: Sequence[str], same: str) -> Iterator[tuple[list[Any], Any]]:
    """Yield the cells of each row, a few rows in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_regular(file) as stream:
        try:
            table = pq.ParquetFile(stream)
            missing = [name for name in (*pictures, same) if name not in table.schema_arrow.names]
            if missing:
                raise ValueError(f"{file} has no column '{missing[0]}'; it has {_listed(table.schema_arrow.names)}.")
            if any(table.metadata.row_group(n).total_byte_size > 2 * MOST_BYTES for n in range(table.num_row_groups)):
                raise ValueError(f"{file} has a group of rows of more than {2 * MOST_BYTES >> 20} MB: divide it.")
            for batch in table.iter_batches(BATCH, columns=[*pictures, same]):
                columns = {name: batch.column(name).to_pylist() for name in (*pictures, same)}
                for row in range(batch.num_rows):
                    yield [columns[name][row] for name in pictures], columns[same][row]
        except (pa.ArrowException, OSError) as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")[:80]
            raise ValueError(f"{file} is no whole Parquet file ({reason}): get it anew.") from None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10])[:200]


def _picture(cell: Any, where: str) -> bytes:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes) or not content:
        raise ValueError(f"{where} holds no bytes of a picture.")
    return content


def _label(cell: Any, where: str) -> bool:
    if isinstance(cell, bool) or (isinstance(cell, int) and cell in (0, 1)):
        return bool(cell)
    raise ValueError(f"{where} is no label; expected true or false.")
