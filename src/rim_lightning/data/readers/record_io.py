"""Training faces in MXNet's RecordIO, `train.rec`, as insightface hands them out. MXNet itself is not needed.

A record is the magic number, a length with three bits that say whether it goes on in the next one, and the content,
padded to four bytes. The content is a header (flag, label, two numbers), `flag` more labels, and the picture. In
insightface's sets, record 0 has a range of numbers as its labels, and so has one record for each person; these hold no
picture.
"""

import math
import struct
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.images import ImageError
from rim_lightning.data.picture_limits import MAX_FILE
from rim_lightning.data.readers.aligned import ALIGNED_POINTS, aligned_face
from rim_lightning.data.readers.files import excerpt, hash_split, read_label_text, require_file
from rim_lightning.data.readers.record import Record
from rim_lightning.files import open_regular

MAGIC = 0xCED7230A
HEADER = struct.Struct("<II")  # magic, three bits and a length
LABELS = struct.Struct("<IfQQ")  # flag, label, two numbers
WHOLE, FIRST, MIDDLE, LAST = 0, 1, 2, 3
MOST_LABELS = 1024


class _Place(NamedTuple):
    """A record of a file.

    Attributes:
        offset: Where it begins, in bytes.
        label: Its label, or the first one of several.
        size: Number of bytes of its picture.
    """

    offset: int
    label: float
    size: int


def read_record_io(file: str | Path, index: str | Path | None = None) -> list[Record]:
    """List the faces of `train.rec`: aligned to 112 px, so that their five points are known.

    Only headers are read; a picture is read when it is prepared. Records without a picture are left out.

    Args:
        file: The records.
        index: Text file of lines `<key> <offset>`, which gives the faces the numbers of their names. None counts
            the records from 0.

    Returns:
        Records `<person>/<number>.jpg` in the order of the file. About a tenth of the people are for validation.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the file is damaged, with the place in bytes; if a label is no number of a person; if the index
            is of another file; or if there are no pictures.
    """
    file = require_file(Path(file), "faces in RecordIO")
    key_at = None if index is None else _keys(Path(index))
    records = []
    splits: dict[str, str] = {}
    for number, place in enumerate(_places(file)):
        if not place.size:
            continue
        if not 0 <= place.label < 2**31 or place.label != math.floor(place.label):
            raise ValueError(f"{file} at byte {place.offset} has the label {place.label:g}, which numbers no person.")
        if key_at is not None and place.offset not in key_at:
            raise ValueError(f"{index} names no record at byte {place.offset} of {file}: it belongs to another file.")
        key = number if key_at is None else key_at[place.offset]
        person = str(int(place.label))
        name = f"{person}/{key}.jpg"
        split = splits.setdefault(person, hash_split(person))
        load = partial(read_record_face, file, place.offset, name)
        records.append(Record(name, file, person, split, ALIGNED_POINTS, load_content=load))
    if not records:
        raise ValueError(f"{file} holds no pictures.")
    return records


def read_record_face(file: Path, offset: int, name: str) -> bytes:
    """Read the encoded face of one record.

    Args:
        file: The records.
        offset: Where the record begins, in bytes.
        name: Name of the face, for messages.

    Raises:
        ImageError: If it is no aligned face, or larger than a picture may be.
        OSError: If it cannot be read.
        ValueError: If the record is damaged.
    """
    with open_regular(file) as stream:
        stream.seek(offset)
        content, kind = b"", FIRST
        while kind in (FIRST, MIDDLE):
            at = stream.tell()
            kind, size = _header(stream, file, at)
            if len(content) + size > MAX_FILE:
                raise ImageError(f"{name} has more than {MAX_FILE >> 20} MB: leave it out.")
            part = stream.read(size)
            if len(part) < size:
                raise ValueError(f"{file} ends within the record at byte {at}: get it anew.")
            content += part
            if kind in (FIRST, MIDDLE):  # the magic number, where a picture holds it, divides a record
                content += struct.pack("<I", MAGIC)
                stream.seek(-size % 4, 1)
    if len(content) < LABELS.size:
        raise ValueError(f"{file} at byte {offset} has a record without the header of a picture: get it anew.")
    flag, *_ = LABELS.unpack_from(content)
    return aligned_face(content[LABELS.size + 4 * flag :], name)


def _places(file: Path) -> Iterator[_Place]:
    """Yield the records of a file in order. Pictures are jumped over."""
    with open_regular(file) as stream:
        end = stream.seek(0, 2)
        offset = stream.seek(0)
        while offset < end:
            start = offset
            kind, size = _header(stream, file, offset)
            if kind not in (WHOLE, FIRST):
                raise ValueError(f"{file} at byte {offset} goes on with a record that has no beginning: get it anew.")
            label, before = _labels(stream, file, offset, size)
            length = size
            offset = _next(stream, file, offset, size, end)
            while kind in (FIRST, MIDDLE):
                kind, size = _header(stream, file, offset)
                if kind not in (MIDDLE, LAST):
                    raise ValueError(f"{file} at byte {offset} begins a record within another: get it anew.")
                length += size + 4
                offset = _next(stream, file, offset, size, end)
            yield _Place(start, label, length - before)


def _header(stream: BufferedReader, file: Path, offset: int) -> tuple[int, int]:
    """Read kind and length of what follows."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        raise ValueError(f"{file} ends within the record at byte {offset}: get it anew.")
    magic, length = HEADER.unpack(head)
    if magic != MAGIC:
        raise ValueError(f"{file} at byte {offset} has no record of RecordIO ({magic:#010x}): get it anew.")
    return length >> 29, length & (2**29 - 1)


def _labels(stream: BufferedReader, file: Path, offset: int, size: int) -> tuple[float, int]:
    """Read the first label of a record, and the number of bytes before its picture."""
    head = stream.read(LABELS.size)
    if size < LABELS.size or len(head) < LABELS.size:
        raise ValueError(f"{file} at byte {offset} has a record without the header of a picture: get it anew.")
    flag, label, _, _ = LABELS.unpack(head)
    before = LABELS.size + 4 * flag
    if flag > MOST_LABELS or before > size:
        raise ValueError(f"{file} at byte {offset} has a record of {size} bytes with {flag} labels: get it anew.")
    if flag:
        several = stream.read(4)
        if len(several) < 4:
            raise ValueError(f"{file} ends within the record at byte {offset}: get it anew.")
        (label,) = struct.unpack("<f", several)
    return label, before


def _next(stream: BufferedReader, file: Path, offset: int, size: int, end: int) -> int:
    """Go to the record behind one of some length at an offset."""
    behind = offset + HEADER.size + size + -size % 4
    if behind > end:
        raise ValueError(f"{file} ends within the record at byte {offset}: get it anew.")
    return stream.seek(behind)


def _keys(index: Path) -> dict[int, int]:
    """Read offset -> key of the records."""
    keys = {}
    text = read_label_text(index, "lines '<key><tab><offset>'")
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if len(cells) != 2 or not all(cell.isdecimal() and len(cell) < 20 for cell in cells):
            raise ValueError(f"{index} line {number} is '{excerpt(line)}'; expected '<key><tab><offset>'.")
        keys[int(cells[1])] = int(cells[0])
    return keys
