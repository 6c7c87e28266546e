"""The `.bin` packs of insightface, AdaFace, CVLface and TFace: a pickle of faces, mostly encoded, and of labels.

A pickle is a program. Two guards stand before it: its instructions are listed first, without carrying out any, and only
those are allowed that make lists, bytes, booleans and arrays; and the few classes that it may name are our own, which
only keep bytes.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from rim_lightning.files import printable, read_bytes
from rim_lightning.schemes import TEMPLATE_SIZE

LARGEST_PACK = 2**29
"""Largest pack in bytes, and most bytes of its faces together. The published ones have 50 to 200 MB."""

MOST_STEPS = 4_000_000
"""Most instructions of a pack: about 30 for each of 14,000 arrays are usual."""

MOST_AXES = 4
"""Most axes of an array."""

DECODED = (TEMPLATE_SIZE, TEMPLATE_SIZE, 3)
"""Shape of a decoded face: that of an aligned one, whose points are known."""

TWO_LISTS = "the two lists of a pack, encoded faces and labels"

_ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
}
_PLACES = ("PUT", "BINPUT", "LONG_BINPUT")


def read_pickled_pack(file: Path) -> tuple[list[bytes], list[bool]]:
    """Read a pack that Python 2 or 3 wrote with `pickle.dump((faces, labels), file)`.

    A face is a string of bytes, or an array of uint8 that holds the encoded picture; or its decoded pixels, an array
    (112, 112, 3) of uint8 in rows, RGB. Nothing of the file is executed.

    Args:
        file: The pack.

    Returns:
        The encoded faces, decoded ones as BMP without loss, and a label for every two of them.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such pack, names a class or function that a pack has no need of, or is too large.
    """
    content = read_bytes(file, "give a pack of encoded faces", LARGEST_PACK)
    _check_steps(content, file)
    try:
        pack = _PackReader(content).load()
    except _Foreign as error:
        raise ValueError(
            f"{file} asks for {error}, which a pack of faces has no need of: it may be an attack, and was not executed."
        ) from None
    except Exception as error:  # a damaged pickle makes the unpickler raise errors of any kind
        reason = str(error).strip().split("\n")[0].rstrip(".") or "damaged"
        raise ValueError(
            f"{file} is no whole pack ({type(error).__name__}: {reason[:80]}); expected {TWO_LISTS}."
        ) from None
    if not isinstance(pack, tuple | list) or len(pack) != 2 or not all(isinstance(part, list) for part in pack):
        raise ValueError(f"{file} does not hold {TWO_LISTS}: get the pack anew.")
    faces: list[bytes] = []
    total = 0
    for number, face in enumerate(pack[0]):  # one face may stand there many times
        faces.append(_face(face, number, file))
        total += len(faces[-1])
        if total > LARGEST_PACK:
            raise ValueError(f"{file} holds faces of more than {LARGEST_PACK >> 20} MB: divide it.")
    return faces, [_label(label, file) for label in pack[1]]


def _check_steps(content: bytes, file: Path) -> None:
    """List the instructions of a pickle. Raise ValueError for one that is not allowed, or too many of them."""
    steps = 0
    try:
        for operation, argument, _ in pickletools.genops(content):
            steps += 1
            if operation.name not in _ALLOWED:
                raise ValueError(
                    f"{file} holds a {operation.name}, which a pack of faces has no need of: it may be an attack, and "
                    "was not executed."
                )
            if steps > MOST_STEPS or (operation.name in _PLACES and int(argument or 0) > steps):
                raise ValueError(f"{file} has more steps than a pack of faces can have: it was not read.")
    except ValueError as error:
        if str(error).startswith(str(file)):
            raise
        reason = printable(str(error).strip().split("\n")[0].rstrip(".")[:80])
        raise ValueError(f"{file} is no whole pickle ({reason}); expected {TWO_LISTS}.") from None
    except Exception as error:  # damaged numbers and texts raise errors of any kind
        raise ValueError(f"{file} is no whole pickle ({type(error).__name__}); expected {TWO_LISTS}.") from None


class _Foreign(pickle.UnpicklingError):
    """Raised where a pickle names something that no pack needs. The message is its name."""


class _Bytes:
    """Stands for an array or a number of numpy: its bytes and nothing else."""

    def __init__(self, *_: Any) -> None:
        self.content: bytes | bytearray = b""
        self.shape: tuple[int, ...] = ()
        self.in_rows = True

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, content = state
        self._fill(shape, dtype, content, not by_columns)

    def _fill(self, shape: Any, dtype: Any, content: Any, in_rows: bool) -> None:
        if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype):
            raise ValueError("an array without bytes")
        if dtype.code not in ("u1", "b1") or len(shape) > MOST_AXES or math.prod(shape) != len(content):
            raise ValueError(f"an array of {dtype.code} where one of uint8 is needed")
        self.shape, self.content, self.in_rows = tuple(shape), content, in_rows


class _Dtype:
    """Stands for a type of numpy: its code."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = _text(code).lstrip("|")

    def __setstate__(self, state: Any) -> None:
        """Ignore the rest: the code says all about types of one byte."""


class _PackReader(pickle.Unpickler):
    """Unpickler that knows the classes of a pack alone.

    Args:
        content: The pickle.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._left = len(content)

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return our stand-in for a name; raise `_Foreign` for any other name."""
        stand_ins: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy.core.multiarray", "_reconstruct"): _Bytes,
            ("numpy.core.multiarray", "scalar"): _scalar,
            ("numpy.core.numeric", "_frombuffer"): _from_buffer,
            ("numpy", "ndarray"): _Bytes,
            ("numpy", "dtype"): _Dtype,
            ("_codecs", "encode"): self._encode,
        }
        make = stand_ins.get((module.replace("numpy._core", "numpy.core"), name))
        if make is None:
            raise _Foreign(printable(f"{module}.{name}"[:80]))
        return lambda *arguments: make(*arguments)  # a new one each time: a pickle can change attributes

    def _encode(self, text: str, encoding: Any) -> bytes:
        """Return bytes that protocol 2 of Python 3 wrote as text. One text may be asked for many times."""
        self._left -= len(text)
        if _text(encoding) != "latin1" or self._left < 0:
            raise ValueError("more text than the file holds")
        return text.encode("latin1")


def _scalar(dtype: Any, content: Any) -> bool:
    value = _from_buffer(content, dtype, (1,))
    return value.content != b"\0"


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any = "C") -> _Bytes:
    array = _Bytes()
    array._fill(shape, dtype, content, _text(order) == "C")
    return array


def _text(text: Any) -> str:
    return text.decode("latin1") if isinstance(text, bytes) else str(text)


def _face(face: Any, number: int, file: Path) -> bytes:
    if isinstance(face, bytes | bytearray):
        return bytes(face)
    if isinstance(face, _Bytes) and max(face.shape, default=0) == len(face.content):  # (n,), (n, 1) or (1, n)
        return bytes(face.content)
    if isinstance(face, _Bytes) and face.shape == DECODED and face.in_rows:
        return _encoded(face.content)
    kind = f"an array of shape {face.shape}" if isinstance(face, _Bytes) else f"a {type(face).__name__}"
    raise ValueError(
        f"{file}: face {number} is {kind}; expected the bytes of an encoded picture, or pixels of the shape {DECODED} "
        "in rows."
    )


def _encoded(pixels: bytes | bytearray) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", DECODED[:2], bytes(pixels)).save(file, "BMP")
    return file.getvalue()


def _label(label: Any, file: Path) -> bool:
    if isinstance(label, bool) or (isinstance(label, int) and label in (0, 1)):
        return bool(label)
    raise ValueError(f"{file} has a label that is a {type(label).__name__}; expected true or false for every pair.")
