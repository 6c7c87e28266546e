"""Made-up packs in the layouts of other people: pickles, Parquet, RecordIO."""

import io
import pickle
import struct

import numpy as np
from PIL import Image

MAGIC = struct.pack("<I", 0xCED7230A)


def jpeg(seed, side=112):
    """An encoded picture of smooth noise."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_pack(path, pairs=20, protocol=4, form=bytes):
    """Write a .bin pack of `pairs` pairs, every other one genuine; return the encoded faces and the labels."""
    faces = [jpeg(number) for number in range(2 * pairs)]
    labels = [number % 2 == 0 for number in range(pairs)]
    path.write_bytes(pickle.dumps(([form(face) for face in faces], labels), protocol))
    return faces, labels


def python_2_pack(faces, labels):
    """What `cPickle.dump((faces, labels), file, 2)` of Python 2 writes: its strings are BINSTRING, without a memo."""
    strings = b"".join(b"T" + struct.pack("<i", len(face)) + face for face in faces)
    booleans = b"".join(b"\x88" if label else b"\x89" for label in labels)
    return b"\x80\x02](" + strings + b"e](" + booleans + b"e\x86."


def record(content, kind=0):
    """A record of RecordIO."""
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + b"\0" * (-len(content) % 4)


def labeled(label, picture=b""):
    """The content of a record: one label, or several."""
    if isinstance(label, tuple):
        return struct.pack(f"<IfQQ{len(label)}f", len(label), 0.0, 0, 0, *label) + picture
    return struct.pack("<IfQQ", 0, label, 0, 0) + picture


def divided(content):
    """The records of a content that holds the magic number at whole words, as MXNet divides it."""
    parts, start = [], 0
    for place in range(0, len(content) - 3, 4):
        if content[place : place + 4] == MAGIC:
            parts.append(content[start:place])
            start = place + 4
    parts.append(content[start:])
    if len(parts) == 1:
        return record(content)
    kinds = [1, *[2] * (len(parts) - 2), 3]
    return b"".join(record(part, kind) for part, kind in zip(parts, kinds, strict=True))


def write_records(folder, people=(3, 3, 7)):
    """Write train.rec and train.idx as insightface does; return the encoded faces."""
    faces = [jpeg(number) for number in range(len(people))]
    contents = [labeled((len(people) + 1.0, len(people) + 3.0))]
    contents += [labeled(float(person), face) for person, face in zip(people, faces, strict=True)]
    contents += [labeled((1.0, 3.0)), labeled((3.0, 4.0))]
    records = [divided(content) for content in contents]
    (folder / "train.rec").write_bytes(b"".join(records))
    offsets = np.cumsum([0, *map(len, records)])[:-1]
    (folder / "train.idx").write_text("".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets)))
    return faces
