"""Files of `torch.save` by somebody else: what they claim is compared with what they hold before anything is loaded."""

import math
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch

LARGEST_PICKLE = 8 * 2**20
"""Most bytes of a pickle, without the tensors: a checkpoint of a thousand tensors has 0.3 MB."""
MOST_ENTRIES = 10**6
DEEPEST = 64
ITEM_SIZES = {
    **dict.fromkeys(("UntypedStorage", "ByteStorage", "CharStorage", "BoolStorage"), 1),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
"""Type of a storage -> bytes of one of its numbers."""
LEGACY_HEADERS = 3
"""Pickles before that of the content in a file of torch < 1.6: magic number, version, system."""


class Inert:
    """Stands for a class of another package that a file names."""


def load_torch_file(path: str | Path, inert: Collection[str] = ()) -> Any:
    """Load a file of `torch.save`. Only tensors and plain containers are unpickled (`weights_only=True`).

    Memory is bounded by the size of the file: no tensor is larger than its part of the file, nothing is compressed,
    and nothing is called but what rebuilds a tensor.

    Args:
        path: The file.
        inert: Classes, as `module.Class`, that the file may name. They are not imported: `Inert` takes their place.

    Returns:
        Its content, on the CPU.

    Raises:
        ValueError: If it is no such file, is damaged, or claims more than it holds. The message does not name the file.
        OSError: If it cannot be read.
    """
    check_torch_file(path, inert)
    with _damage_in_words(), torch.serialization.safe_globals([(Inert, name) for name in inert]):
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_entries(content)
    return content


def check_torch_file(path: str | Path, inert: Collection[str] = ()) -> None:
    """Read what a file says about its tensors, and nothing else; arguments and errors as of `load_torch_file`."""
    path = Path(path)
    with _damage_in_words():
        if is_zipfile(path):
            with ZipFile(path) as archive:
                _check_archive(archive, path.stat().st_size, inert)
        else:
            _check_legacy(path, inert)


@contextmanager
def _damage_in_words() -> Iterator[None]:
    """Turn the errors of an unpickler into ValueError: on a damaged file they are of every kind."""
    try:
        yield
    except Exception as error:
        if (
            isinstance(error, OSError) and error.filename is not None
        ):  # of the file itself; without it, of a wrong place
            raise
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error


def _check_archive(archive: ZipFile, size: int, inert: Collection[str]) -> None:
    """Check a file of torch ≥ 1.6, a ZIP archive with one entry for each storage."""
    entries = {entry.filename.lower(): entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise ValueError("two parts have one name")
    if any(entry.compress_type != ZIP_STORED for entry in entries.values()):
        raise ValueError("a part is compressed")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise ValueError("its parts claim to be larger than the file")
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it is not one saved object")
    folder = pickles[0].removesuffix("data.pkl")
    if entries[pickles[0]].file_size > LARGEST_PICKLE:
        raise ValueError("it holds too many entries")

    def check_storage(key: str, claimed: int) -> None:
        held = entries.get(f"{folder}data/{key}".lower())
        if held is None or held.file_size != claimed:
            raise ValueError(f"a tensor claims {claimed:,} bytes that are not there")

    with archive.open(entries[pickles[0]]) as file:
        _Reader(_Bounded(file), check_storage, inert).load()


def _check_legacy(path: Path, inert: Collection[str]) -> None:
    """Check a file of torch < 1.6: pickles, then the bytes of all storages one behind the other."""
    claims: dict[str, int] = {}
    with open(path, "rb") as file:
        bounded = _Bounded(file)
        for _ in range(LEGACY_HEADERS + 1):
            _Reader(bounded, claims.__setitem__, inert).load()
    if sum(claims.values()) > path.stat().st_size:
        raise ValueError(f"its tensors claim {sum(claims.values()):,} bytes that are not there")


class _Bounded:
    """A file of which a bounded number of bytes is read."""

    def __init__(self, file: Any) -> None:
        self._file: BinaryIO = file
        self._left = LARGEST_PICKLE

    def read(self, count: int) -> bytes:
        return self._counted(self._file.read(min(count, self._left + 1)))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self._left + 1))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("it holds too many entries")
        return content


class _Storage:
    """Stands for a storage, and for its type."""

    def __init__(self, itemsize: int, count: int = 0) -> None:
        self.itemsize, self.count = itemsize, count


class _Reader(pickle._Unpickler):  # that in C allocates as much as a file asks for
    """Unpickles the containers of a file. It builds no tensor, and calls nothing that the file names.

    Args:
        file: The file.
        check_storage: Called with the key of each storage and its claimed size in bytes.
        inert: Classes that `Inert` stands for.
    """

    def __init__(self, file: _Bounded, check_storage: Callable[[str, int], None], inert: Collection[str]) -> None:
        super().__init__(file, encoding="utf-8")
        self._check_storage = check_storage
        self._inert = inert

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name. What is unknown cannot be called."""
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return _check_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _as_it_is
        if module == "collections" and name in ("OrderedDict", "Counter"):
            return {"OrderedDict": OrderedDict, "Counter": Counter}[name]
        if f"{module}.{name}" in self._inert:
            return Inert
        if module in ("torch", "torch.storage") and name in ITEM_SIZES:
            return _Storage(ITEM_SIZES[name])
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return name
        raise ValueError(f"it names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> Any:
        """Check the size of a storage."""
        kind, storage, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(storage, _Storage) or type(count) is not int or count < 0:
            raise ValueError("it refers to something that is no tensor")
        self._check_storage(str(key), count * storage.itemsize)
        return _Storage(storage.itemsize, count)


def _check_tensor(storage: Any, offset: Any, shape: Any, *others: Any) -> None:
    """Raise ValueError if a tensor has more numbers than its storage: it would repeat them."""
    if math.prod(shape) > storage.count:
        raise ValueError(f"a tensor of shape {tuple(shape)} has {storage.count:,} numbers")


def _as_it_is(content: Any, *others: Any) -> Any:
    return content


def _check_entries(content: Any) -> None:
    """Raise ValueError if containers are nested too deeply, or name one another so often that no walk ends."""
    level = [content]
    seen = 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for container in level:
            seen += len(container) if isinstance(container, Mapping | list | tuple) else 0
            if seen > MOST_ENTRIES:
                raise ValueError("it holds too many entries")
            if isinstance(container, Mapping):
                inner += [entry for entry in container.values() if isinstance(entry, Mapping | list | tuple)]
            elif isinstance(container, list | tuple):
                inner += [entry for entry in container if isinstance(entry, Mapping | list | tuple)]
        if not inner:
            return
        level = inner
    raise ValueError(f"its containers are nested more than {DEEPEST} levels deep")
