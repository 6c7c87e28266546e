"""Pictures, their 8-bit levels, and files of unusual kinds made by hand."""

import struct
import zlib

import numpy as np
import torch

from rim_lightning.types import to_unit


def levels(image):
    """8-bit levels of an image in [-1, 1], as integers."""
    return ((image + 1) * 127.5).round().long()


def noise_image(size, seed=0):
    """Saturated noise: the hardest case, because every resize overshoots."""
    return np.random.default_rng(seed).choice([0, 255, 40, 200], (size, size, 3)).astype(np.uint8)


def to_tensor(array):
    """(H, W, 3) uint8 to (1, 3, H, W) in [-1, 1]."""
    return to_unit(torch.from_numpy(array.copy()).permute(2, 0, 1)[None])


def png_chunk(kind, data):
    """A chunk of a PNG file with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(depth, color_type, row, before=b"", behind=b"", side=40):
    """The content of a square PNG whose rows are all alike; chunks can be put before and behind the pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, color_type, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress((b"\0" + row) * side))
    return b"\x89PNG\r\n\x1a\n" + head + before + pixels + behind + png_chunk(b"IEND", b"")


def tiff_file(bits, photometric, row, sample_format=1, order="<", side=40):
    """The content of a square gray TIFF whose rows are all alike, in little (<) or big (>) endian order."""
    tags = {
        256: side,
        257: side,
        258: bits,
        259: 1,
        262: photometric,
        273: 0,
        277: 1,
        278: side,
        279: 0,
        339: sample_format,
    }
    tags[273], tags[279] = 8 + 2 + 12 * len(tags) + 4, len(row) * side
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + row * side
