"""Writing of a prepared store: one sample at a time, resumable after a kill, in place only when complete."""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from rim_lightning.data.stores.prepared import (
    FORMAT,
    MANIFEST,
    PreparedStore,
    hash_by_name,
    partial_path,
    write_manifest,
)
from rim_lightning.files import check_writable, put_in_place, synchronize, write_text
from rim_lightning.json_files import parse_json
from rim_lightning.locks import process_lock, wait_and_hold
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.types import UNLABELED

JOURNAL = "journal.jsonl"
HEADER = "header.json"
UNUSUAL = ("faces", "turned")  # keys of samples with several detected faces, and of those that were turned
SHOWN_REASONS = 3  # reasons, and samples of each, that are named if no sample could be prepared
COMPACT_CHUNK = 256  # samples moved at a time when the store is finished


@dataclass(frozen=True)
class Sample:
    """A prepared image with its labels.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        landmarks: Scheme name -> (P, 2) in pixels of `image`.
        parsing: (S, S) uint8 Helen-11 classes, or None.
        file_hash: SHA-256 (hexadecimal) of the source image file.
        detected: True if the detector found the face, False if annotated points did.
        faces: Number of usable faces that the detector found.
        turned: Degrees by which the picture was turned clockwise, because the detected face lies on its side.
    """

    image: NDArray[np.uint8]
    landmarks: Mapping[str, NDArray[np.float32]]
    parsing: NDArray[np.uint8] | None
    file_hash: str
    detected: bool = False
    faces: int = 1
    turned: int = 0


@contextmanager
def one_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a store that may have to be made.

    If another process of this machine holds the lock, wait for it; by then it may have made the store. The lock is
    released when its process ends, even after a kill.

    Args:
        path: Directory of the store.

    Raises:
        ValueError: If the store cannot be made there.
    """
    path = Path(path)
    check_writable(path)  # a lock would wait for a folder that cannot be made
    if path.is_mount():
        raise ValueError(f"{path} is a disk of its own: choose a folder on it as output.")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = process_lock(path.with_name(f".{path.name}.lock"))
    with wait_and_hold(lock, f"Waiting for another process, which prepares {path} ..."):
        yield


class StoreWriter:
    """Builds a store next to its final place and renames it when it is complete.

    Every finished sample is one flushed line of a journal, written after its pixels. A run that was killed resumes
    where it stopped when it is started again with the same arguments. After a power cut the disk may hold the line of a
    sample and not its pixels: the line has a checksum of them, and samples that do not fit theirs are prepared again.
    Position i of the arrays belongs to sample i of `names`, so that the bytes do not depend on the order in which
    samples arrive.

    Args:
        path: Directory of the finished store.
        header: Settings that identify the run, written to the manifest (hr_size, stored_size, alignment, ...). A
            half-made store with another header is thrown away.
        names: Names of all samples, in the order of the store; unique.
        identities: Person of each sample, or None.
        splits: Split of each sample.
        schemes: Landmark schemes that the store keeps.
        parsing: True if the source has parsing maps.

    Raises:
        ValueError: If two samples have one name.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        names: Sequence[str],
        identities: Sequence[str | None],
        splits: Sequence[str],
        schemes: Iterable[str],
        parsing: bool,
    ) -> None:
        self.path, self.partial = Path(path), partial_path(path)
        self._names, self._identities, self._splits = list(names), list(identities), list(splits)
        self._schemes = sorted(schemes)
        self._side = int(header["stored_size"])
        if len(set(self._names)) != len(self._names):
            repeated = next(name for name in self._names if self._names.count(name) > 1)
            raise ValueError(f"Two samples are called '{repeated}'; names must be unique.")
        self._header = {
            "format": FORMAT,
            **header,
            "landmark_schemes": self._schemes,
            "parsing": parsing,
        }
        self._arrays = self._open_partial()
        self._compacted = (self.partial / MANIFEST).is_file()  # a kill in `finish`: all that is left is to move files
        self.done = self._replay()
        self._journal = open(self.partial / JOURNAL, "a", encoding="utf-8")  # noqa: SIM115 (`close` closes it)

    def pending(self) -> list[int]:
        """Return the positions of the unfinished samples, in order."""
        return [i for i in range(len(self._names)) if i not in self.done]

    def write(self, index: int, sample: Sample) -> None:
        """Store the sample at position `index`, then record that it is done."""
        self._arrays["images"][index] = sample.image
        for scheme in self._schemes:
            self._arrays[f"landmarks_{scheme}"][index] = sample.landmarks.get(scheme, np.nan)
        if "parsing" in self._arrays:
            self._arrays["parsing"][index] = UNLABELED if sample.parsing is None else sample.parsing
        labels = sorted(scheme for scheme, points in sample.landmarks.items() if np.isfinite(points).any())
        labels += ["parsing"] if sample.parsing is not None else []
        entry = {"index": index, "file_hash": sample.file_hash, "labels": labels, "detected": sample.detected}
        entry["checksum"] = self._checksum(index)
        unusual = {"faces": sample.faces} if sample.faces > 1 else {}
        unusual |= {"turned": sample.turned} if sample.turned else {}
        self._record(entry | unusual)

    def skip(self, index: int, reason: str) -> None:
        """Record that the sample at position `index` cannot be prepared.

        Args:
            index: Position of the sample.
            reason: Reason, one sentence without the name of the sample.
        """
        self._record({"index": index, "reason": reason})

    def finish(self) -> PreparedStore:
        """Drop the skipped samples, write the manifest and move the store to its place.

        Raises:
            ValueError: If samples are still pending, or none could be prepared.
            OSError: If its place is taken.
        """
        if self.pending():
            raise ValueError(f"{len(self.pending())} samples of {self.path} are not prepared yet.")
        prepared = [i for i in range(len(self._names)) if "reason" not in self.done[i]]
        self.close()
        if not prepared:
            shutil.rmtree(self.partial, ignore_errors=True)  # the same command judges the pictures again
            count, reasons = len(self._names), self._reasons()
            raise ValueError(f"None of the {count} samples of {self.path} could be prepared: {reasons}.")
        arrays = [self.partial / f"{name}.npy" for name in self._array_shapes()]
        if not self._compacted:
            for file in arrays:
                _compact(file, prepared)
            write_manifest(self.partial / MANIFEST, self._manifest(prepared))
        for file in arrays:
            if _compact_file(file).is_file():
                os.replace(_compact_file(file), file)
        synchronize(self.partial)  # takes time: from the next line on, a killed run begins anew
        (self.partial / HEADER).unlink()  # before the journal, which a store without a header does not need
        (self.partial / JOURNAL).unlink()
        put_in_place(self.partial, self.path)
        return PreparedStore(self.path)

    def _reasons(self) -> str:
        """Return why no sample could be prepared: the first reasons, each with the first samples."""
        names_of: dict[str, list[str]] = {}
        for index, entry in sorted(self.done.items()):
            names_of.setdefault(entry["reason"], []).append(self._names[index])
        reasons = []
        for reason, names in names_of.items():
            more = f" and {len(names) - SHOWN_REASONS} more" if len(names) > SHOWN_REASONS else ""
            reasons.append(f"{reason} ({', '.join(names[:SHOWN_REASONS])}{more})")
        more_reasons = [f"{len(reasons) - SHOWN_REASONS} more reasons"] if len(reasons) > SHOWN_REASONS else []
        return "; ".join(reasons[:SHOWN_REASONS] + more_reasons) or "the source lists no images"

    def close(self) -> None:
        """Flush all samples; a later writer with the same arguments resumes from here."""
        self._journal.close()
        for array in self._arrays.values():
            array.flush()
        self._arrays = {}

    def _manifest(self, prepared: Sequence[int]) -> dict[str, Any]:
        samples = [
            {
                "name": self._names[i],
                "identity": self._identities[i],
                "split": self._splits[i],
                "labels": self.done[i]["labels"],
                "detected": self.done[i]["detected"],
            }
            | {key: self.done[i][key] for key in UNUSUAL if key in self.done[i]}
            for i in prepared
        ]
        skipped = [
            {"name": self._names[i], "reason": entry["reason"]}
            for i, entry in sorted(self.done.items())
            if "reason" in entry
        ]
        return {
            **self._header,
            "source_hash": hash_by_name({self._names[i]: self.done[i]["file_hash"] for i in prepared}),
            "split_hash": hash_by_name({sample["name"]: sample["split"] for sample in samples}),
            "identities": sorted({sample["identity"] for sample in samples} - {None}),
            "samples": samples,
            "skipped": skipped,
        }

    def _array_shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        count, side = len(self._names), self._side
        shapes: dict[str, tuple[tuple[int, ...], type]] = {"images": ((count, side, side, 3), np.uint8)}
        for scheme in self._schemes:
            shapes[f"landmarks_{scheme}"] = ((count, LANDMARK_SCHEMES[scheme].points, 2), np.float32)
        if self._header["parsing"]:
            shapes["parsing"] = ((count, side, side), np.uint8)
        return shapes

    def _open_partial(self) -> dict[str, np.memmap]:
        """Open the half-made store of an earlier run with the same header and samples, or begin a new one.

        Returns:
            Array name -> array of all samples, on disk.
        """
        listing = [*zip(self._names, self._identities, self._splits, strict=True)]
        header = json.dumps({**self._header, "listing": listing}, sort_keys=True)
        file = self.partial / HEADER
        resumed = file.is_file() and file.read_bytes() == header.encode()
        if not resumed:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
        arrays = {
            name: _reserved_memmap(self.partial / f"{name}.npy", "r+" if resumed else "w+", shape, dtype)
            for name, (shape, dtype) in self._array_shapes().items()
        }
        if not resumed:
            synchronize(self.partial)
            write_text(file, header)  # last: a directory with a header has all its arrays
        return arrays

    def _replay(self) -> dict[int, dict[str, Any]]:
        """Read the journal entries of earlier runs whose samples are on the disk, and write the journal anew.

        A kill may have cut off the last line, a power cut also lines and pixels before it.
        """
        from rim_lightning.data.stores.manifest_schema import JournalEntry  # here, because pydantic takes a while

        file = self.partial / JOURNAL
        if not file.is_file():
            return {}
        done = {}
        for line in file.read_bytes().splitlines():
            with suppress(ValueError):  # a damaged line
                entry = parse_json(line, file, dict)
                JournalEntry.model_validate(entry)
                if entry["index"] >= len(self._names):
                    continue
                if self._compacted or "reason" in entry or entry["checksum"] == self._checksum(entry["index"]):
                    done[entry["index"]] = entry
        write_text(file, "".join(f"{json.dumps(entry)}\n" for entry in done.values()))
        return done

    def _checksum(self, index: int) -> int:
        """Return a checksum of what the arrays hold of a sample."""
        checksum = 0
        for array in self._arrays.values():
            checksum = zlib.crc32(array[index].tobytes(), checksum)
        return checksum

    def _record(self, entry: dict[str, Any]) -> None:
        self._journal.write(json.dumps(entry) + "\n")
        self._journal.flush()
        self.done[entry["index"]] = entry


def _reserved_memmap(file: Path, mode: Literal["r+", "w+"], shape: tuple[int, ...], dtype: Any) -> np.memmap:
    """Open an array on disk whose room is reserved: a write into one without room would kill the process.

    Raises:
        OSError: If the disk has no room for it.
    """
    array = open_memmap(file, mode, dtype=dtype, shape=shape)
    size = file.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with open(file, "r+b") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some network disks cannot reserve
                    if mode == "w+":
                        os.ftruncate(stream.fileno(), 0)  # gives back what was reserved
                    raise OSError(error.errno, error.strerror, str(file)) from error
    elif mode == "w+" and size > shutil.disk_usage(file.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    return array


def _compact(file: Path, rows: Sequence[int]) -> None:
    """Write an array with only the given rows (ascending) beside an array that has more, a chunk at a time."""
    source = np.load(file, mmap_mode="r")
    if len(rows) == len(source):
        _compact_file(file).unlink(missing_ok=True)
        return
    target = _reserved_memmap(_compact_file(file), "w+", (len(rows), *source.shape[1:]), source.dtype)
    for start in range(0, len(rows), COMPACT_CHUNK):
        chunk = list(rows[start : start + COMPACT_CHUNK])
        target[start : start + len(chunk)] = source[chunk]
    target.flush()
    synchronize(_compact_file(file))


def _compact_file(file: Path) -> Path:
    return file.with_suffix(".compact")  # a fixed name: a resumed run overwrites what a killed one left
