"""Limits of picture files. Decoders take the memory and time that a file asks for, so its bytes are checked before.

No camera and no program for pictures comes near these limits: see "Pictures and label files of others" in
docs/security.md.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_FILE = 200 * 2**20
"""Largest file in bytes. It is read as a whole, and only once."""

MAX_PIXELS = 100_000_000
"""Most pixels. Decoding and conversion take up to 10 bytes each."""

MAX_COPIED_PIXELS = 50_000_000
"""Most pixels where decoders hold several copies: up to 20 bytes each."""

COPYING_FORMATS, COPYING_MODES = ("WEBP", "JPEG2000", "AVIF", "HEIF"), ("CMYK", "YCCK")

MAX_SLOW_PIXELS = 1_000_000
"""Most pixels that Pillow decodes in Python, one by one."""

SLOW_DECODERS = ("bmp_rle", "ppm", "ppm_plain")

MAX_SIDE = 65_535
"""Longest side in pixels: that of JPEG."""

FREE_PIXELS, PIXELS_PER_BYTE = 10_000_000, 1000
"""Pixels that any file may have, and how many more for each of its bytes. Photographs have 1 to 100 a byte, a PNG of
one gray level has 1,030."""

MAX_SCANS, MAX_SCANNED_PIXELS = 100, 2_000_000_000
"""Most scans of a JPEG, and most pixels of all its scans. Progressive files have about 10."""

MAX_SEGMENTS = 10_000
"""Most segments of a JPEG, boxes and markers of a JPEG 2000. Each of a JPEG can hold 64 KB."""

MAX_PADDING = 2**16
"""Most bytes between two segments of a JPEG, before its pixels."""

MAX_CHUNKS = 100_000
"""Most chunks of a PNG. Pixels lie in chunks of at least 8 KB."""

MAX_PREFACE = 2**20
"""Most bytes of comments before the first frame of a GIF, and of the header of a JPEG 2000."""

MAX_TILES = 16_384
"""Most tiles of a JPEG 2000. Each takes 12 KB before it is decoded."""

MAX_VALUES = 4 * MAX_SIDE
"""Most numbers of a tag of TIFF or EXIF: a strip for each row of four planes."""

MAX_TAGS = 100_000
"""Most tags of TIFF and EXIF in a file."""

MIN_TILE = 2**24
"""Pixels that a tile of a TIFF may have, however small the picture."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # of JPEG: neither a stuffed byte, nor padding, nor a restart
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_BYTE_TYPES = (1, 2, 6, 7)
_WIDTH, _HEIGHT, _COMPRESSION, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 259, 278, 322, 323
_JPEG_IN_TIFF = (6, 7)
_EXIF = b"Exif\0\0"
_HOSTILE = "as no camera writes it: save it anew as JPEG or PNG"


class _Tag(NamedTuple):
    """A tag of TIFF or EXIF: its number, type and count, its first value if it stands in the tag, and its bytes."""

    number: int
    kind: int
    values: int
    value: int
    size: int


def content_fault(content: bytes) -> str | None:
    """Return why the bytes of a picture file must not be decoded, or None if they may.

    Args:
        content: The whole file.

    Returns:
        The end of a sentence that begins with the name of the file, without a period.
    """
    if content.startswith(b"\xff\xd8"):
        return _jpeg_fault(content)
    if content.startswith(PNG_SIGNATURE):
        return _png_fault(content)
    if content.startswith(b"GIF8"):
        return _gif_fault(content)
    if content.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return _jpeg2000_fault(content)
    if content.startswith((b"RIFF", *TIFF_SIGNATURES)) or content[4:8] == b"ftyp":
        return tags_fault(content)
    return None


def pixels_fault(kind: str | None, mode: str, size: tuple[int, int], length: int | None = None) -> str | None:
    """Return why a picture of this size must not be decoded, or None if it may.

    Args:
        kind: Format of the file; None if there is none.
        mode: Mode of the picture, as Pillow calls it.
        size: Width and height in pixels.
        length: Length of the file in bytes; None if there is none.

    Returns:
        The end of a sentence, see `content_fault`.
    """
    width, height = size
    if max(size) > MAX_SIDE:
        return f"has a side of more than {MAX_SIDE:,} pixels: reduce it"
    if width * height > MAX_PIXELS:
        return f"has more than {MAX_PIXELS // 10**6} million pixels: reduce it"
    if width * height > MAX_COPIED_PIXELS and (kind in COPYING_FORMATS or mode in COPYING_MODES):
        what = kind if kind in COPYING_FORMATS else mode
        return f"has more than {MAX_COPIED_PIXELS // 10**6} million pixels, the limit of {what}: reduce it"
    if length is not None and width * height > FREE_PIXELS + PIXELS_PER_BYTE * length:
        return f"has {width:,} x {height:,} pixels in a file of {length:,} bytes, {_HOSTILE}"
    return None


def tiles_fault(tiles: list, size: tuple[int, int]) -> str | None:
    """Return why the parts of an opened picture must not be decoded, or None if they may.

    Args:
        tiles: Decoder, corners x0, y0, x1, y1, and more of each part, as Pillow lists them.
        size: Width and height of the picture in pixels.

    Returns:
        The end of a sentence, see `content_fault`.
    """
    pixels = size[0] * size[1]
    if pixels > MAX_SLOW_PIXELS and any(tile[0] in SLOW_DECODERS for tile in tiles):
        slow = next(tile[0] for tile in tiles if tile[0] in SLOW_DECODERS)
        return (
            f"has more than {MAX_SLOW_PIXELS // 10**6} million pixels in a form that is read slowly ({slow}): save it "
            "as PNG"
        )
    corners = (tile[1] for tile in tiles if tile[1] is not None)
    if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in corners) > 8 * pixels:
        return f"has strips that lie over each other, {_HOSTILE}"
    return None


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk of a PNG. The end is behind the checksum, and may be behind the file.

    Args:
        content: The file.

    Yields:
        The chunks in their order.
    """
    start = len(PNG_SIGNATURE)
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        yield kind, start, start + length + 12  # length, kind, content and checksum
        start += length + 12


def tags_fault(block: bytes) -> str | None:
    """Return why the tags of TIFF or EXIF in a file must not be read, or None if they may.

    Tags may share their bytes, so that a file of 1 MB holds 10 GB. Every header is checked, wherever it is; a TIFF has
    its header at the beginning.

    Args:
        block: The file, or the EXIF of a file.

    Returns:
        The end of a sentence, see `content_fault`.
    """
    total = seen = 0
    for start in _tiff_headers(block):
        first_values = {}
        for tag in _tags(block, start):
            seen += 1
            total += tag.size
            if seen > MAX_TAGS or total > 2 * len(block):
                return f"has tags that hold more bytes than the file, {_HOSTILE}"
            if tag.values > MAX_VALUES and tag.kind not in _BYTE_TYPES and tag.size:
                return f"has a tag of more than {MAX_VALUES:,} numbers, {_HOSTILE}"
            first_values[tag.number] = tag.value
        seen += 1
        if start == 0 and (fault := _tiff_fault(block, first_values)):
            return fault
    return None


def _tiff_headers(block: bytes) -> Iterator[int]:
    if block.startswith(TIFF_SIGNATURES):
        yield 0
        return
    for signature in TIFF_SIGNATURES:
        start = block.find(signature)
        while start >= 0:
            yield start
            start = block.find(signature, start + 1)


def _tags(block: bytes, start: int) -> Iterator[_Tag]:
    """Yield the tags of the first directory behind a header. The bytes of a tag that lie outside are not counted."""
    order = "<" if block[start : start + 1] == b"I" else ">"
    big = b"+" in block[start : start + 4]
    place_format, count_format, entry_format, room = ("Q", "Q", "HHQ8s", 8) if big else ("I", "H", "HHI4s", 4)
    try:
        (offset,) = struct.unpack_from(order + place_format, block, start + (8 if big else 4))
        (count,) = struct.unpack_from(order + count_format, block, start + offset)
        place = start + offset + struct.calcsize(order + count_format)
        for _ in range(count):
            number, kind, values, inside = struct.unpack_from(order + entry_format, block, place)
            place += struct.calcsize(order + entry_format)
            size = values * _TYPE_SIZES.get(kind, 0)
            (at,) = struct.unpack(order + place_format, inside)
            value = struct.unpack_from(order + "H", inside)[0] if kind == 3 else at
            present = room < size <= len(block) - start - at
            yield _Tag(number, kind, values, value, size if present else 0)
    except struct.error:  # the directory is cut off
        return


def _tiff_fault(content: bytes, values: dict[int, int]) -> str | None:
    """Return why a TIFF with these first values of its tags must not be decoded, or None."""
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    tile_width, tile_height = values.get(_TILE_WIDTH, width), values.get(_TILE_HEIGHT, values.get(_ROWS, height))
    tile_height = tile_height if _TILE_HEIGHT in values else min(tile_height, height)
    if tile_width * tile_height > max(MIN_TILE, 2 * width * height):
        return f"has tiles of {tile_width:,} x {tile_height:,} pixels in a picture of {width} x {height}, {_HOSTILE}"
    if values.get(_COMPRESSION) in _JPEG_IN_TIFF:
        tiles = -(-width // max(1, tile_width)) * -(-height // max(1, tile_height))
        if content.count(b"\xff\xda") > MAX_SCANS + 4 * tiles:
            return f"has more than {MAX_SCANS} scans, {_HOSTILE}"
    return None


def _jpeg_fault(content: bytes) -> str | None:
    """Walk over the markers of a JPEG as its decoders do, up to the end of the first picture."""
    place, segments, scans, pixels, exif = 2, 0, 0, 0, []
    while marker := _MARKER.search(content, place):
        kind = content[marker.start() + 1]
        if not scans and marker.start() - place > MAX_PADDING:
            return f"has more than {MAX_PADDING:,} bytes without a meaning, {_HOSTILE}"
        place = marker.end()
        segments += 1
        if segments > MAX_SEGMENTS:
            return f"has more than {MAX_SEGMENTS:,} segments, {_HOSTILE}"
        if kind == 0xD9 and scans:  # the end; Pillow looks behind one that stands before the pixels
            break
        if kind in (0x01, 0xD8, 0xD9):  # without a length
            continue
        length = max(2, int.from_bytes(content[place : place + 2], "big"))
        if kind == 0xDA:
            scans += 1
            if scans > MAX_SCANS or scans * pixels > max(pixels, MAX_SCANNED_PIXELS):
                return f"has more than {scans - 1} scans, {_HOSTILE}"
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 3 : place + 7].ljust(4, b"\0"))
            pixels = max(pixels, width * height)
        elif kind == 0xE1 and content.startswith(_EXIF, place + 2):
            exif.append(content[place + 2 + len(_EXIF) : place + length])
        place += length
    return tags_fault(b"".join(exif))  # Pillow joins them


def _png_fault(content: bytes) -> str | None:
    """Count the chunks of a PNG, and check its EXIF."""
    for number, (kind, start, end) in enumerate(png_chunks(content)):
        if number == MAX_CHUNKS:
            return f"has more than {MAX_CHUNKS:,} chunks, {_HOSTILE}"
        if kind == b"eXIf" and (fault := tags_fault(content[start + 8 : end])):
            return fault
    return None


def _gif_fault(content: bytes) -> str | None:
    """Walk over the comments of a GIF: Pillow copies all of a comment for each 255 bytes of it."""
    flags = content[10] if len(content) > 10 else 0
    start = place = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    while place < len(content) and content[place] not in b",;":
        if content[place] == ord("!"):
            place += 2
            while place < len(content) and content[place] and place - start <= MAX_PREFACE:
                place += content[place] + 1
        place += 1
        if place - start > MAX_PREFACE:
            return f"has more than {MAX_PREFACE >> 20} MB before its first frame, {_HOSTILE}"
    return None


def _jpeg2000_fault(content: bytes) -> str | None:
    """Walk over boxes and markers of a JPEG 2000 up to its pixels, and count its tiles."""
    place = boxes = 0
    while content[4:8] == b"jP  " and place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        boxes += 1
        if boxes > MAX_SEGMENTS or (kind == b"jp2h" and length > MAX_PREFACE):
            return f"has more than {MAX_SEGMENTS:,} boxes or a header of more than {MAX_PREFACE >> 20} MB, {_HOSTILE}"
        if kind == b"jp2c" or length < 8:
            break
        place += length
    place = content.find(b"\xff\x4f\xff\x51") + 4
    if place < 4 or len(content) < place + 34:
        return None
    length, _, width, height, _, _, tile_width, tile_height = struct.unpack_from(">HHIIIIII", content, place)
    if -(-width // max(1, tile_width)) * -(-height // max(1, tile_height)) > MAX_TILES:
        return f"has more than {MAX_TILES:,} tiles, {_HOSTILE}"
    place += length
    for _ in range(MAX_SEGMENTS):
        if place + 4 > len(content) or content[place + 1] in (0x64, 0x90, 0xD9):  # a comment, the pixels, or the end
            return None
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return f"has more than {MAX_SEGMENTS:,} markers, {_HOSTILE}"
