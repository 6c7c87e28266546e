"""rim_lightning.data.stores.writer."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from rim_lightning.data.stores.prepared import FORMAT, MANIFEST, PreparedStore, hash_by_name, partial_path
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.types import UNLABELED

JOURNAL = "journal.jsonl"
HEADER = "header.json"
COMPACT_CHUNK = 256  # samples moved at a time when the store is finished


@dataclass(frozen=True)
class Sample:
    """What the preparation made of one record.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        landmarks: scheme name -> (P, 2), pixels of `image`.
        parsing: (S, S) uint8 Helen-11 classes, or None.
        file_hash: sha256 (hex) of the source image file.
        detected: whether the face was found by the detector, not by annotated points.
    """

    image: NDArray[np.uint8]
    landmarks: Mapping[str, NDArray[np.float32]]
    parsing: NDArray[np.uint8] | None
    file_hash: str
    detected: bool = False


@contextmanager
def one_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a store that may have to be made; waits while another process of this machine holds it, and may
    have made the store by then. The lock goes with its process, however that dies.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "a") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process, which prepares {path} ...", file=sys.stderr, flush=True)
            fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


class StoreWriter:
    """Builds a store next to its final place and renames it when it is complete.

    Every finished sample is one flushed line of a journal, written after its pixels: a run that was killed goes on
    where it stopped when it is started again with the same arguments. Position i of the arrays belongs to sample i of
    `names`, so the bytes do not depend on the order in which samples arrive.

    Args:
        path: directory of the finished store.
        header: what identifies the run, written to the manifest (hr_size, stored_size, alignment, ...). A half-made
            store with another header is thrown away.
        names: names of all samples, in the order of the store; unique.
        identities: person of each sample, or None.
        splits: split of each sample.
        schemes: landmark schemes the store keeps.
        parsing: whether the source has parsing maps.
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
        self._open_partial()
        self.done = self._replay()
        self._journal = open(self.partial / JOURNAL, "a", encoding="utf-8")

    def pending(self) -> list[int]:
        """Positions of the samples that no earlier run has finished, in order."""
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
        self._record({"index": index, "file_hash": sample.file_hash, "labels": labels, "detected": sample.detected})

    def skip(self, index: int, reason: str) -> None:
        """Record that the sample at position `index` cannot be prepared, and why (one sentence)."""
        self._record({"index": index, "reason": reason})

    def finish(self) -> PreparedStore:
        """Drop the skipped samples, write the manifest and move the store to its place.

        Raises:
            ValueError: where samples are still pending, or none could be prepared.
            OSError: where its place is taken.
        """
        if self.pending():
            raise ValueError(f"{len(self.pending())} samples of {self.path} are not prepared yet.")
        kept = [i for i in range(len(self._names)) if "reason" not in self.done[i]]
        self.close()
        if not kept:
            first = self.done[0]["reason"] if self.done else "the source lists no images"
            raise ValueError(f"None of the {len(self._names)} samples of {self.path} could be prepared: {first}.")
        for name in self._array_shapes():
            _compact(self.partial / f"{name}.npy", kept)
        manifest = json.dumps(self._manifest(kept), indent=1, sort_keys=True)
        (self.partial / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        (self.partial / HEADER).unlink()  # before the journal: without a header, a killed run starts afresh
        (self.partial / JOURNAL).unlink()
        os.replace(self.partial, self.path)
        return PreparedStore(self.path)

    def close(self) -> None:
        """Flush what was written; a later writer with the same arguments goes on from here."""
        self._journal.close()
        for array in self._arrays.values():
            array.flush()
        self._arrays = {}

    def _manifest(self, kept: Sequence[int]) -> dict[str, Any]:
        samples = [
            {
                "name": self._names[i],
                "identity": self._identities[i],
                "split": self._splits[i],
                "labels": self.done[i]["labels"],
                "detected": self.done[i]["detected"],
            }
            for i in kept
        ]
        skipped = [
            {"name": self._names[i], "reason": entry["reason"]}
            for i, entry in sorted(self.done.items())
            if "reason" in entry
        ]
        return {
            **self._header,
            "source_hash": hash_by_name({self._names[i]: self.done[i]["file_hash"] for i in kept}),
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

    def _open_partial(self) -> None:
        """Open the half-made store of an earlier run with the same header and samples, or begin a new one."""
        listing = [*zip(self._names, self._identities, self._splits, strict=True)]
        header = json.dumps({**self._header, "listing": listing}, sort_keys=True)
        file = self.partial / HEADER
        resumed = file.is_file() and file.read_text(encoding="utf-8") == header
        if not resumed:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
        self._arrays = {}
        for name, (shape, dtype) in self._array_shapes().items():
            mode = "r+" if resumed else "w+"
            self._arrays[name] = open_memmap(self.partial / f"{name}.npy", mode=mode, dtype=dtype, shape=shape)
        if not resumed:
            file.write_text(header, encoding="utf-8")  # last: a directory with a header has all its arrays

    def _replay(self) -> dict[int, dict[str, Any]]:
        """Journal entries of earlier runs; a last line that was cut off by a kill is dropped."""
        file = self.partial / JOURNAL
        if not file.is_file():
            return {}
        text = file.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            file.write_text(whole, encoding="utf-8")
        entries = [json.loads(line) for line in whole.splitlines()]
        return {entry["index"]: entry for entry in entries}

    def _record(self, entry: dict[str, Any]) -> None:
        self._journal.write(json.dumps(entry) + "\n")
        self._journal.flush()
        self.done[entry["index"]] = entry


def _compact(file: Path, kept: Sequence[int]) -> None:
    """Rewrite an array with only the rows `kept` (ascending), a chunk at a time; the rename makes it atomic."""
    source = np.load(file, mmap_mode="r")
    if len(kept) == len(source):
        return
    scratch = file.with_suffix(".compact")
    target = open_memmap(scratch, mode="w+", dtype=source.dtype, shape=(len(kept), *source.shape[1:]))
    for start in range(0, len(kept), COMPACT_CHUNK):
        rows = list(kept[start : start + COMPACT_CHUNK])
        target[start : start + len(rows)] = source[rows]
    target.flush()
    del target, source
    os.replace(scratch, file)
