"""Pictures that were made to cost memory or time end in a sentence at once; only regular files are opened."""

import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from rim_lightning.data import images
from rim_lightning.data.images import (
    ImageError,
    has_plain_pixels,
    image_format,
    picture_header,
    read_content,
    read_image,
    read_numbers,
)
from rim_lightning.data.picture_limits import MAX_FILE, tags_fault
from tests.helpers import hostile

HOSTILE = "as no camera writes it: save it anew as JPEG or PNG"
TAGS = f"has tags that hold more bytes than the file, {HOSTILE}"


def large_jpeg_of_scans(count):
    """A JPEG of many scans whose header says 9,000 x 9,000 pixels."""
    content = bytearray(hostile.jpeg_of_scans(count))
    at = content.index(b"\xff\xc2") + 5
    content[at : at + 4] = struct.pack(">HH", 9000, 9000)
    return bytes(content)


def exif_in_webp():
    return hostile.saved("WEBP", exif=b"Exif\0\0" + hostile.exif_block(2700, 30_000))


def exif_in_png():
    return hostile.png(40, 40, hostile.png_chunk(b"eXIf", hostile.exif_block(2700, 30_000)))


BOMBS = [
    (hostile.webp, (7000, 7000), "has 7,000 x 7,000 pixels in a file of 34 bytes"),
    (hostile.webp, (10_000, 10_000), "has more than 50 million pixels, the limit of WEBP: reduce it"),
    (hostile.webp, (16_383, 16_383), "has more than 100 million pixels: reduce it"),
    (exif_in_webp, (), TAGS),
    (hostile.png, (9000, 9000, b"", 8, 2, zlib.compress(b"")), "has 9,000 x 9,000 pixels in a file of 65 bytes"),
    (hostile.png, (70_000, 7), "has a side of more than 65,535 pixels: reduce it"),
    (hostile.png_of_empty_chunks, (100_001,), f"has more than 100,000 chunks, {HOSTILE}"),
    (exif_in_png, (), TAGS),
    (hostile.jpeg_of_scans, (100,), f"has more than 100 scans, {HOSTILE}"),
    (large_jpeg_of_scans, (30,), f"has more than 24 scans, {HOSTILE}"),
    (hostile.jpeg_of_segments, (10_001,), f"has more than 10,000 segments, {HOSTILE}"),
    (hostile.jpeg_of_padding, (70_000,), f"has more than 65,536 bytes without a meaning, {HOSTILE}"),
    (hostile.jpeg_of_exif, (hostile.exif_block(2700, 32_000),), TAGS),
    (hostile.jpeg_of_exif, (hostile.exif_block(9000, 100_000),), TAGS),
    (hostile.gif_of_comments, (2**21,), f"has more than 1 MB before its first frame, {HOSTILE}"),
    (hostile.gif_frame, (60_000, 60_000), "has more than 100 million pixels: reduce it"),
    (hostile.bmp_runs, (2000, 1000, b"\1\1\0\0"), r"in a form that is read slowly \(bmp_rle\): save it as PNG"),
    (hostile.bmp_runs, (10**7, 7, b"\0\2\0\xff"), "has a side of more than 65,535 pixels: reduce it"),
    (hostile.ppm_text, (1_100_000,), r"in a form that is read slowly \(ppm_plain\): save it as PNG"),
    (hostile.ppm_levels, (1_100_000,), r"in a form that is read slowly \(ppm\): save it as PNG"),
    (hostile.tiff_of_strips, (40, 100), f"has strips that lie over each other, {HOSTILE}"),
    (hostile.tiff_of_tags, (1000, 10_000), TAGS),
    (hostile.tiff_of_values, (270_000,), f"has a tag of more than 262,140 numbers, {HOSTILE}"),
    (hostile.tiff_tile, (40, 5000), f"has tiles of 5,000 x 5,000 pixels in a picture of 40 x 40, {HOSTILE}"),
    (hostile.tiff_of_scans, (200, 40), f"has more than 100 scans, {HOSTILE}"),
    (hostile.jpeg2000_of_tiles, (4000, 16), f"has more than 16,384 tiles, {HOSTILE}"),
    (hostile.jpeg2000_of_boxes, (10_001,), "has more than 10,000 boxes or a header of more than 1 MB"),
    (hostile.jpeg2000_of_tiles, (9000, 9000), "has more than 50 million pixels, the limit of JPEG2000: reduce it"),
]


def file_kinds(kind):
    """Yield a kind of image file of Pillow and all kinds below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from file_kinds(below)


@pytest.mark.parametrize(("make", "size", "sentence"), BOMBS)
def test_what_was_made_to_cost_is_refused_before_it_is_decoded(tmp_path, monkeypatch, make, size, sentence):
    for kind in file_kinds(ImageFile.ImageFile):
        if "load" in vars(kind):
            monkeypatch.setattr(kind, "load", lambda picture: pytest.fail(f"{picture} is decoded"))
    path = tmp_path / "face.png"
    path.write_bytes(make(*size))
    for read in (read_image, read_numbers, picture_header):
        with pytest.raises(ImageError, match=f"^{path} .*{sentence}"):
            read(path)
    image_format(path)
    has_plain_pixels(path)


def test_what_real_files_have_is_read(tmp_path):
    """Ten scans and more, a profile and EXIF of usual length, a thousand segments, many strips."""
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    usual = [
        hostile.jpeg_of_scans(80),
        hostile.jpeg_of_segments(1000, b"x" * 1000),
        hostile.saved("JPEG", icc_profile=b"x" * 3_000_000, exif=exif),
        hostile.png_of_empty_chunks(10_000),
        hostile.saved("PNG", exif=exif),
        hostile.saved("WEBP", exif=exif),
        hostile.gif_of_comments(500_000),
        hostile.gif_of_frames(500),
        hostile.saved("TIFF", exif=exif, compression="tiff_lzw", tiffinfo={278: 1}),
        hostile.saved("JPEG2000", tile_size=(8, 8)),
        hostile.bmp_runs(40, 40, b"\x28\0\0\0" * 40),
        hostile.ppm_text(4000),
    ]
    for content in usual:
        assert not read_image(content).any() or content.startswith(b"P3")


def test_tags_that_share_bytes_are_read_only_within_the_file():
    """The EXIF of a PNG may be a text, which Pillow unpacks: it has no say about its orientation then."""
    assert tags_fault(hostile.exif_block(2700, 30_000)) == TAGS
    assert tags_fault(hostile.exif_block(1, 30_000)) is None
    profile = b"\nexif\n9\n" + b"4578" + hostile.exif_block(2700, 30_000).hex().encode()
    packed = b"Raw profile type exif\0\0" + zlib.compress(profile)
    assert not read_image(hostile.png(40, 40, hostile.png_chunk(b"zTXt", packed))).any()


@pytest.mark.parametrize("seed", range(40))
def test_the_checks_bear_any_bytes(seed):
    """Neither a trace nor a fault that a whole small file would not have."""
    rng = random.Random(seed)
    for content in hostile.whole_pictures().values():
        cut = hostile.damaged(content, rng)
        assert images.content_fault(content) is None
        assert isinstance(images.content_fault(cut), str | None)


def test_a_picture_in_strips_is_the_picture_in_one_piece(monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (23, 31, 4), dtype=np.uint8)
    color, deep = Image.fromarray(pixels), Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    palette = color.convert("RGB").quantize(16)
    palette.info["transparency"] = 3
    integers = Image.fromarray(pixels[..., 0].astype(np.int32))
    pictures = [color, deep, palette, integers, *(color.convert(mode) for mode in ("RGB", "L", "LA", "1", "CMYK", "P"))]
    whole = [read_image(picture) for picture in pictures]
    monkeypatch.setattr(images, "STRIP", 70)
    for picture, expected in zip(pictures, whole, strict=True):
        np.testing.assert_array_equal(read_image(picture), expected)
    np.testing.assert_array_equal(whole[4], np.asarray(color.convert("RGB")))


SPECIAL = {
    "pipe": "is no regular file: give an image file",
    "link_to_pipe": "is no regular file: give an image file",
    "socket": "is no regular file: give an image file",
    "zero": "is no regular file: give an image file",
    "null": "is no regular file: give an image file",
    "full": "is no regular file: give an image file",
    "random": "is no regular file: give an image file",
    "itself": "is a link that leads to itself: give an image file",
    "circle_1": "is a link that leads to itself: give an image file",
    "circle_2": "is a link that leads to itself: give an image file",
    "nothing": "is a link to a missing file: restore the file",
    "folder": "is a folder: give an image file",
    "link_to_folder": "is a folder: give an image file",
}


@pytest.mark.skipif(sys.platform == "win32", reason="has other special files")
def test_only_regular_files_are_opened(tmp_path):
    special = dict(hostile.special_files(tmp_path / "special"))
    assert set(special) == set(SPECIAL)
    for name, path in special.items():
        for read in (read_image, read_numbers, picture_header, read_content):
            with pytest.raises((ImageError, FileNotFoundError)) as caught:
                read(path)
            assert str(caught.value) == f"{path} {SPECIAL[name]}."
        assert image_format(path) is None
        assert has_plain_pixels(path)


def test_a_file_of_many_bytes_or_of_none_is_refused(tmp_path):
    with open(tmp_path / "long.png", "wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(ImageError, match=r"long.png has more than 200 MB: reduce it"):
        read_image(tmp_path / "long.png")
    with pytest.raises(ImageError, match=r"the image is empty: replace the file"):
        read_image(b"")


PEAK = """
import sys
from rim_lightning.data.images import read_image
def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) >> 10
before = memory("VmRSS")
shape = read_image(sys.argv[1]).shape
print(*shape, memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
@pytest.mark.parametrize(
    "kind",
    ["png of 100 million pixels with opacity", "jpeg of 98 million pixels, progressive", "webp of 49 million pixels"],
)
def test_the_largest_pictures_take_less_than_a_gigabyte(tmp_path, kind):
    path = tmp_path / "face.png"
    path.write_bytes(hostile.bombs()[kind]())
    *shape, peak = map(int, subprocess.check_output([sys.executable, "-c", PEAK, path], text=True).split())
    assert shape[0] * shape[1] > 48_000_000
    assert peak < 1000
