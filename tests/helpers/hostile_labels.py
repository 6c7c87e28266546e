"""Label files, whole and hostile. Used by tests and benchmarks."""

import io
import json
import random
import struct

import numpy as np
from PIL import Image

from tests.helpers.hostile import with_checksums

POINTS = [(10.5 + 2 * number, 12 + number % 7 * 5) for number in range(194)]


def whole_labels():
    """Return name -> content of a small label file of every kind."""
    columns = [f"five_{axis}{number}" for number in range(5) for axis in "xy"]
    row = [str(value) for point in POINTS[:5] for value in point]
    table = [["image", *columns, "identity"], ["a.png", *row, "Ann"], ["b.png", *row, "Bob"]]
    points = "\n".join(f"{x} {y}" for x, y in POINTS[:68])
    return {
        "landmarks.pts": f"version: 1\nn_points: 68\n{{\n{points}\n}}\n".encode(),
        "landmarks.tsv": "\n".join("\t".join(line) for line in table).encode(),
        "people.csv": "\n".join(",".join(line) for line in table).encode(),
        "validation.txt": b"Ann\nBob\n",
        "splits.json": json.dumps({"helen": {"train": ["a"], "val": ["b"], "test": []}}).encode(),
        "pairs.txt": b"2\t1\nAnn\t1\t2\nAnn\t1\tBob\t2\nBob\t1\t2\nBob\t1\tAnn\t3\n",
        "pairs_CALFW.txt": b"".join(
            b"".join(f"{kind}{number}_{image}.jpg {flag}\n".encode() for image in (1, 2))
            for kind, flag in (("a", 1), ("b", 0))
            for number in range(10)
        ),
        "pairs.csv": b"gallery,probe,same,fold\na.png,b.png,1,0\na.png,c.png,0,1\n",
        "1.txt": ("100_1\n" + "\n".join(f"{x} , {y}" for x, y in POINTS)).encode(),
        "testnames.txt": b"100_1\n200_1\n",
        "testing.txt": b"1 , 100_1\n2 , 200_1\n",
        "CelebA-HQ-to-CelebA-mapping.txt": b"idx orig_idx orig_file\n0 119613 119614.jpg\n1 99094 099095.jpg\n",
        "mask.png": mask(),
        "manifest.json": json.dumps(manifest()).encode(),
        "images.npy": npy(np.zeros((1, 16, 16, 3), np.uint8)),
        "card.json": json.dumps(card()).encode(),
        "_embedding.json": json.dumps(embedding()).encode(),
    }


def mask():
    file = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16) % 19).save(file, "PNG")
    return file.getvalue()


def manifest():
    sample = {"name": "a", "identity": None, "split": "train", "labels": [], "detected": False}
    about = {"format": 1, "name": "toy", "hr_size": 16, "margin": 0, "stored_size": 16, "alignment": "five"}
    return about | {
        "landmark_schemes": [],
        "parsing": False,
        "identities": [],
        "source_hash": "",
        "split_hash": "",
        "samples": [sample],
        "skipped": [],
    }


def embedding():
    about = {"format": 1, "model": "m", "embedding_size": 4, "hr_size": 16, "side": "gallery", "aligned": False}
    return about | {"precision": "32", "pictures": "/p", "count": 1, "names": "n", "shard": 4, "detector": "yunet"}


def card():
    architecture = {"name": "rim", "arguments": {"hr_size": 128, "lr_size": 16}}
    files = {"model.safetensors": "0" * 64}
    about = {"format": 1, "architecture": architecture, "fingerprint": "0" * 16, "files": files, "calibration": None}
    return about | {"license": "", "limits": []}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_header(text, version=1):
    """A .npy file with any header."""
    content = text.encode("latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(content))
    return b"\x93NUMPY" + bytes([version, 0]) + length + content


def hostile_arrays():
    """Return content of .npy files that lie, or would run a program."""
    shapes = ("(10**9,)", "(1000000000000,)", "(-1, 16, 16, 3)", "(1, 16, 16, 3, " * 20 + ")" * 20, "None", "('a',)")
    header = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"
    texts = [header.format("|u1", shape) for shape in shapes]
    texts += [header.format(kind, "(1, 16, 16, 3)") for kind in ("|O", "<f8", "|S1000000000", "nothing", "|V0")]
    texts += ["(" * 5000, "{" * 200, "__import__('os').system('false')", "{'descr': 5}", "", "\0" * 64]
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    files = [npy_header(text, version) + b"\0" * 768 for text in texts for version in (1, 2)]
    return [*files, pickled.getvalue(), b"\x93NUMPY\x09\0", b"\x93NUMPY\2\0\xff\xff\xff\xff", b"PK\3\4", b"\x80\4K\5."]


NUMBERS = (b"nan", b"inf", b"-inf", b"1e400", b"-7", b"9" * 30, b"9" * 5000, b"0x10", b"", b"1_0", b"\xff")
NAMES = (b"../../../etc/passwd", b"/etc/passwd", b"a\0b", b"x" * 200_000, b"n\xe4me", b'"a', b"a,b\tc")
INSERTED = (b"\0" * 9, b"\n\n\n", b"{" * 5000, b"[" * 100_000, b"\r", b'"')


def hostile_label(content, rng):
    """Return a label file that was damaged: bytes, fields, lines, encoding or numbers."""
    kind = rng.randrange(9)
    if kind == 0 or not content.isascii():
        return _with_other_bytes(content, rng)
    if kind == 1:
        return _with_other_field(content, rng, rng.choice(NAMES))
    if kind in (2, 3):
        return _with_other_field(content, rng, rng.choice(NUMBERS))
    if kind == 4:
        lines = content.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        return b"".join(lines[:at] + lines[at : at + 1] * rng.choice((0, 2, 3)) + lines[at + 1 :])
    if kind == 5:
        return content.decode().encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")))
    if kind == 6:
        return content[: rng.randrange(len(content))]
    if kind == 7:
        place = rng.randrange(len(content))
        return (
            content[:place]
            + rng.choice((b"\0" * 9, b"\n\n\n", b"{" * 5000, b"[" * 100_000, b"\r", b'"'))
            + content[place:]
        )
    return _with_other_value(content, rng)


def _with_other_bytes(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return with_checksums(bytes(changed))


def _with_other_field(content, rng, value):
    """Replace one of the words of a file."""
    words = [word for word in content.replace(b",", b" ").replace(b'"', b" ").split() if word not in (b"{", b"}")]
    if not words:
        return value
    return content.replace(rng.choice(words), value, 1)


def _with_other_value(content, rng):
    """Drop or replace one value of a JSON object; the first line of any other file."""
    try:
        data = json.loads(content)
    except ValueError:
        return b"\n".join(content.splitlines()[1:])
    key = rng.choice(sorted(data))
    value = rng.choice((None, [], {}, "x", -1, 10**30, 1.5, True, [None], {"train": 5}, [[1]]))
    if rng.random() < 0.4:
        del data[key]
    elif isinstance(data[key], list) and data[key] and isinstance(data[key][0], dict) and rng.random() < 0.7:
        data[key][0][rng.choice(sorted(data[key][0]))] = value
    else:
        data[key] = value
    return json.dumps(data).encode()


def hostile_labels(count, seed):
    """Yield (name, content) of damaged label files, kind after kind."""
    rng = random.Random(seed)
    whole, arrays = whole_labels(), hostile_arrays()
    names = sorted(whole)
    for number in range(count):
        name = names[number % len(names)]
        turn = number // len(names)
        if name == "images.npy" and turn < len(arrays):
            yield name, arrays[turn]
        else:
            yield name, hostile_label(whole[name], rng)
