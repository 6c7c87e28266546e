"""Picture files that were made to cost memory or time, or to hide what they are. Used by tests and benchmarks."""

import importlib
import importlib.util
import io
import os
import socket
import struct
import zlib

import numpy as np
from PIL import Image

from tests.helpers.pictures import png_chunk

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


def saved(kind, side=40, mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind, **options)
    return file.getvalue()


def png(width, height, before=b"", depth=8, color_type=2, rows=None):
    """A PNG of this size. Its rows are black, or `rows`, packed."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    if rows is None:
        row, packer = b"\0" * (1 + -(-width * channels * depth // 8)), zlib.compressobj(9)
        rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    return PNG + head + before + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def png_of_empty_chunks(count):
    return png(40, 40, png_chunk(b"prVt", b"") * count)


def png_texts(kind, size, count=1):
    """Chunks of texts, or a color profile, that become long when they are unpacked."""
    packed = zlib.compress(b"\0" * size, 9)
    head = {b"zTXt": b"k\0\0", b"iCCP": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[kind]
    return png_chunk(kind, head + packed) * count


def segment(marker, content):
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_of_scans(count, side=40, progressive=True):
    """A JPEG whose last scan is repeated."""
    whole = saved("JPEG", side, progressive=progressive)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def jpeg_of_segments(count, content=b"", marker=0xEF):
    whole = saved("JPEG")
    return whole[:2] + segment(marker, content) * count + whole[2:]


def jpeg_of_padding(count, byte=b"\xff"):
    whole = saved("JPEG")
    return whole[:20] + byte * count + whole[20:]


def exif_block(count, size):
    """EXIF whose many tags all hold the same bytes: unpacked they take `count` times as many."""
    tags = b"".join(struct.pack("<HHII", tag, 7, size, 12 * count + 14) for tag in range(1000, 1000 + count))
    return b"II*\0" + struct.pack("<IH", 8, count) + tags + struct.pack("<I", 0) + b"\0" * size


def jpeg_of_exif(block):
    parts = [block[start : start + 65_000] for start in range(0, len(block), 65_000)]
    whole = saved("JPEG")
    return whole[:2] + b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts) + whole[2:]


def tiff(tags, behind=b"", directories=1):
    """A little-endian TIFF. Each tag is (number, type, count, value or offset); `behind` follows the directory."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    head = b"II*\0" + struct.pack("<I", 8)
    directory = struct.pack("<H", len(tags)) + entries
    if directories == 1:
        return head + directory + struct.pack("<I", 0) + behind
    size = len(directory) + 4
    chain = b"".join(directory + struct.pack("<I", 8 + size * number) for number in range(1, directories))
    return head + chain + directory + struct.pack("<I", 0) + behind


def tiff_tags(width, height, compression=1, bits=8, more=()):
    """Tags of a gray TIFF; `more` says where its pixels are."""
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        *more,
    ]


def tiff_of_strips(count, side):
    """An uncompressed TIFF whose strips all lie at the same place and each cover the picture but for one row."""
    place = 8 + 2 + 12 * 9 + 4
    tags = tiff_tags(side, side, more=[(273, 4, count, place), (278, 4, 1, side - 1), (279, 4, count, place)])
    return tiff(tags, struct.pack("<I", place + 4 * count) * count + b"\0" * side * side)


def tiff_of_tags(count, size):
    place = 8 + 2 + 12 * (9 + count) + 4
    tags = tiff_tags(40, 40, more=[(273, 4, 1, place), (278, 4, 1, 40), (279, 4, 1, 1600)])
    tags += [(number, 7, size, place) for number in range(1000, 1000 + count)]
    return tiff(tags, b"\0" * max(size, 1600))


def tiff_of_values(count):
    """A TIFF whose bits per sample are a list of `count` numbers."""
    place = 8 + 2 + 12 * 9 + 4
    tags = [tag for tag in tiff_tags(40, 40) if tag[0] != 258] + [(258, 3, count, place)]
    return tiff([*tags, (273, 4, 1, place), (278, 4, 1, 40), (279, 4, 1, 1600)], b"\x08\0" * max(count, 800))


def tiff_tile(side, tile, compression=8):
    """A deflated TIFF of one tile of another size."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(b"\0" * tile) for _ in range(tile)) + packer.flush()
    place = 8 + 2 + 12 * 10 + 4
    more = [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, place), (325, 4, 1, len(pixels))]
    return tiff(tiff_tags(side, side, compression, more=more), pixels)


def tiff_of_scans(count, side):
    """A TIFF of one strip, a JPEG of many scans."""
    pixels = jpeg_of_scans(count, side)
    place = 8 + 2 + 12 * 9 + 4
    size = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3)]
    return tiff([*size, (273, 4, 1, place), (278, 4, 1, side), (279, 4, 1, len(pixels))], pixels)


def webp(width, height):
    """A lossless WebP of 34 bytes: one color."""
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes([0x88, 0x88, 0x08, 0x08, 0x10, 0x11, 0x11, 0x11, 0x00])
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def webp_canvas(width, height):
    """An extended WebP whose canvas is far larger than its one small frame."""
    frame = saved("WEBP")[12:]
    canvas = struct.pack("<I", 2) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = b"\0" * 6 + (39).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0"
    chunks = b"VP8X" + struct.pack("<I", 10) + canvas + b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    chunks += b"ANMF" + struct.pack("<I", 16 + len(frame)) + place + frame
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def gif_of_comments(size):
    """A GIF with a comment of this many bytes before its picture."""
    whole = saved("GIF")
    table = 13 + 3 * 2 ** ((whole[10] & 7) + 1) if whole[10] & 0x80 else 13
    block = b"\xff" + b"x" * 255
    return whole[:table] + b"!\xfe" + block * (size // 255) + b"\0" + whole[table:]


def gif_of_frames(count):
    frames = [Image.new("P", (40, 40), number % 2) for number in range(count)]  # each differs from the one before
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def gif_frame(width, height):
    """A GIF of a small screen whose frame is large."""
    whole = saved("GIF")
    at = whole.index(b",\0\0\0\0") + 5
    return whole[:at] + struct.pack("<HH", width, height) + whole[at + 4 :]


def bmp_runs(width, height, codes):
    """A BMP with runs of equal pixels (RLE8)."""
    place = 14 + 40 + 1024
    head = b"BM" + struct.pack("<IHHI", place + len(codes), 0, 0, place)
    return (
        head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(codes), 0, 0, 256, 0) + b"\0" * 1024 + codes
    )


def jpeg2000_of_tiles(side, tile):
    """A JPEG 2000 codestream of many tiles, of which none is there."""
    siz = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, 3) + b"\x07\x01\x01" * 3
    cod = b"\0\0" + struct.pack(">H", 1) + b"\0\5\4\4\0\1"
    qcd = b"\x40" + b"\x40" * 16
    start = struct.pack(">HIBB", 0, 0, 0, 1)
    parts = [segment(0x51, siz), segment(0x52, cod), segment(0x5C, qcd), segment(0x90, start)]
    return b"\xff\x4f" + b"".join(parts) + b"\xff\x93\xff\xd9"


def jpeg2000_in_small_box(side):
    """A JP2 whose header says 40 x 40 pixels and whose pixels are many more."""
    whole = saved("JPEG2000", side)
    at = whole.index(b"ihdr") + 4
    return whole[:at] + struct.pack(">II", 40, 40) + whole[at + 8 :]


def jpeg2000_of_boxes(count):
    whole = saved("JPEG2000")
    return whole[:12] + struct.pack(">I4s", 8, b"free") * count + whole[12:]


def in_small_box(whole):
    """An AVIF or HEIF file whose header says 40 x 40 pixels and whose pixels are many more."""
    content = bytearray(whole)
    start = 0
    while (start := content.find(b"ispe", start)) >= 0:
        content[start + 8 : start + 16] = struct.pack(">II", 40, 40)
        start += 16
    return bytes(content)


def ppm_text(pixels):
    """A PPM with numbers as text."""
    return b"P3\n%d 100\n255\n" % (pixels // 100) + b"9 " * (3 * pixels)


def ppm_levels(pixels, maxval=254):
    """A PPM whose levels are to be scaled."""
    return b"P6\n%d 100\n%d\n" % (pixels // 100, maxval) + b"\x09" * (3 * pixels)


def bombs():
    """Return name -> function that makes a file which costs far more than a picture of its size should."""
    million = 10**6
    return {
        "png of 100 million pixels": lambda: png(10_000, 10_000),
        "png of 100 million pixels with opacity": lambda: png(10_000, 10_000, color_type=6),
        "png of 100 million gray pixels of 16 bits": lambda: png(10_000, 10_000, depth=16, color_type=0),
        "png of 100 million black and white pixels": lambda: png(10_000, 10_000, depth=1, color_type=0),
        "png of 14 million pixels in a row": lambda: png(14 * million, 7),
        "png header of 100 million pixels": lambda: png(10_000, 10_000, rows=zlib.compress(b"")),
        "png, 1 GB in its color profile": lambda: png(40, 40, png_texts(b"iCCP", 10**9)),
        "png, 1 GB in a text": lambda: png(40, 40, png_texts(b"zTXt", 10**9)),
        "png, 100 texts of 1 MB": lambda: png(40, 40, png_texts(b"zTXt", 1_000_000, 100)),
        "png of a million chunks": lambda: png_of_empty_chunks(million),
        "png, exif": lambda: png(40, 40, png_chunk(b"eXIf", exif_block(40_000, 500_000))),
        "jpeg of 98 million gray pixels": lambda: saved("JPEG", 9900, "L"),
        "jpeg of 98 million pixels, progressive": lambda: saved("JPEG", 9900, progressive=True, subsampling=0),
        "jpeg of 98 million pixels, cmyk": lambda: saved("JPEG", 9900, "CMYK", subsampling=0),
        "jpeg of 3,000 scans": lambda: jpeg_of_scans(3000, 2000),
        "jpeg of 90 scans of 98 million pixels": lambda: jpeg_of_scans(90, 9900),
        "jpeg of a million segments": lambda: jpeg_of_segments(million),
        "jpeg with 20 MB of padding": lambda: jpeg_of_padding(20 * million),
        "jpeg, exif of 30 segments": lambda: jpeg_of_exif(exif_block(50_000, 1_300_000)),
        "jpeg, exif of 1 segment": lambda: jpeg_of_exif(exif_block(2700, 32_000)),
        "webp of 100 million pixels in 34 bytes": lambda: webp(10_000, 10_000),
        "webp of 268 million pixels in 34 bytes": lambda: webp(16_383, 16_383),
        "webp of 49 million pixels": lambda: webp(7000, 7000) + b"\0" * 50_000,
        "webp canvas of 281 million million pixels": lambda: webp_canvas(2**24, 2**24),
        "webp canvas of 4 thousand million pixels": lambda: webp_canvas(2**16, 2**16 - 1),
        "webp, exif": lambda: saved("WEBP", exif=b"Exif\0\0" + exif_block(40_000, 500_000)),
        "gif of 98 million pixels": lambda: saved("GIF", 9900, "P"),
        "gif, 20 MB of comment": lambda: gif_of_comments(20 * million),
        "gif of 3,000 frames": lambda: gif_of_frames(3000),
        "gif whose frame is larger than its screen": lambda: gif_frame(65_000, 65_000),
        "bmp, rows that end early": lambda: bmp_runs(100 * million // 7, 7, b"\1\1\0\0" * 7),
        "bmp, moved by 255 rows": lambda: bmp_runs(100 * million // 7, 7, b"\0\2\0\xff" * 7),
        "bmp header of 100 million pixels": lambda: bmp_runs(10_000, 10_000, b"\0\0"),
        "ppm, 20 MB of text": lambda: ppm_text(3_300_000),
        "ppm, 30 MB of odd levels": lambda: ppm_levels(10 * million),
        "ppm header of 100 million pixels": lambda: b"P6\n10000 10000\n255\n",
        "tiff of 30,000 strips over each other": lambda: tiff_of_strips(30_000, 4000),
        "tiff of 5 million strips": lambda: tiff_of_strips(5 * million, 40),
        "tiff of 60,000 tags over each other": lambda: tiff_of_tags(60_000, 500_000),
        "tiff of 50 million values": lambda: tiff_of_values(50 * million),
        "tiff of 60,000 directories": lambda: tiff(tiff_tags(40, 40, more=[(273, 4, 1, 8)]), b"", 60_000),
        "tiff of 98 million pixels, deflated": lambda: saved("TIFF", 9900, compression="tiff_deflate"),
        "tiff of 98 million gray pixels of 16 bits": lambda: saved("TIFF", 9900, "I;16", compression="tiff_deflate"),
        "tiff, a tile of 900 million pixels": lambda: tiff_tile(40, 30_000),
        "tiff of 3,000 scans of jpeg": lambda: tiff_of_scans(3000, 2000),
        "jpeg2000 of 49 million pixels": lambda: saved("JPEG2000", 7000),
        "jpeg2000 of 98 million pixels": lambda: saved("JPEG2000", 9900),
        "jpeg2000 of 65,025 tiles": lambda: jpeg2000_of_tiles(65_025 // 255 * 16, 16),
        "jpeg2000 header of 100 million pixels": lambda: jpeg2000_of_tiles(10_000, 10_000),
        "jpeg2000, 49 million pixels in a small box": lambda: jpeg2000_in_small_box(7000),
        "jpeg2000 of a million boxes": lambda: jpeg2000_of_boxes(million),
        "avif of 49 million pixels": lambda: saved("AVIF", 7000, speed=10),
        "avif, 49 million pixels in a small box": lambda: in_small_box(saved("AVIF", 7000, speed=10)),
    }


def whole_pictures():
    """Return kind -> content of small pictures with all that a file can hold beside its pixels."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [picture.rotate(90)]}
    options = {
        "PNG": {"exif": exif, "icc_profile": b"x" * 99},
        "PNG, gray of 16 bits": {},
        "JPEG": {"exif": exif},
        "JPEG, progressive": {"progressive": True, "comment": b"x" * 99},
        "MPO": frames,
        "WEBP": {"exif": exif},
        "WEBP, lossless": {"lossless": True, **frames},
        "TIFF": {"exif": exif},
        "TIFF, LZW": {"compression": "tiff_lzw"},
        "TIFF, JPEG": {"compression": "jpeg"},
        "GIF": {"comment": b"x" * 300, **frames},
        "BMP": {},
        "PPM": {},
        "JPEG2000": {},
        "AVIF": {"exif": exif, "speed": 10},
    }
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
        options["HEIF"] = {}
    whole = {}
    for kind, how in options.items():
        file = io.BytesIO()
        deep = Image.fromarray(np.arange(576, dtype=np.uint16).reshape(24, 24) * 99)
        (deep if "16 bits" in kind else picture).save(file, kind.partition(",")[0], **how)
        whole[kind] = file.getvalue()
    return whole | {"BMP, runs": bmp_runs(24, 24, b"\x18\1\0\0" * 23 + b"\x18\1\0\1"), "PPM, text": ppm_text(2400)}


def damaged(content, rng):
    """Change, add or remove bytes of a file, half of the time among the first ones."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 200))
        kind = rng.randrange(6)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at] = rng.choice((0, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            content[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif kind == 3:
            content[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1\0\0"))
        elif kind == 4 and len(content) > 16:
            del content[at : at + rng.randrange(1, 9)]
        elif len(content) > 16:
            del content[max(16, at) :]
    return with_checksums(bytes(content)) if rng.random() < 0.8 else bytes(content)


def with_checksums(content):
    """Put right the checksums of a PNG, so that its damage is looked at. Other files stay as they are."""
    if not content.startswith(PNG):
        return content
    parts, place = [PNG], len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        parts.append(struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
        place += length + 12
    return b"".join(parts)


def special_files(folder):
    """Make what is no regular file in a folder, and yield its name in words, and its path."""
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "link_to_pipe.png").symlink_to("pipe.png")
    for device in ("zero", "null", "full", "random"):
        (folder / f"{device}.png").symlink_to(f"/dev/{device}")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "circle_1.png").symlink_to("circle_2.png")
    (folder / "circle_2.png").symlink_to("circle_1.png")
    (folder / "nothing.png").symlink_to("nowhere.png")
    (folder / "folder.png").mkdir()
    (folder / "link_to_folder.png").symlink_to("folder.png")
    with socket.socket(socket.AF_UNIX) as connection:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            connection.bind("socket.png")
        finally:
            os.chdir(here)
    for path in sorted(folder.iterdir()):
        yield path.stem, path
