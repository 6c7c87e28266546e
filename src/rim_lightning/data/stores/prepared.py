"""A prepared data set on disk: every image decoded and aligned once, read one face at a time.

A store is a directory:

    images.npy               (N, S, S, 3) uint8, RGB
    landmarks_<scheme>.npy   (N, P, 2) float32, x and y in pixels of the STORED image, NaN = not annotated
    parsing.npy              (N, S, S) uint8, Helen-11 class, 255 = unlabeled; only where the source has parsing maps
    manifest.json            settings; name, identity, split and labels of each sample; SHA-256 of the source images
                             and of the splits; names of the skipped images with the reasons

The central `hr_size` square of a stored image is the aligned face; around it lies a margin of true pixels, so that
augmentation can shift, turn and scale the face without inventing any.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.stores.rows import RowFile, open_rows
from rim_lightning.files import open_regular, write_json
from rim_lightning.json_files import read_json
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.types import NO_IDENTITY

FORMAT = 1
SPLITS = ("train", "val", "test")
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**30
"""Largest manifest in bytes: it lists up to six million samples. That of a packed set does not list them."""


def stored_side(hr_size: int, margin: float) -> int:
    """Return the side S of a stored image: `hr_size` plus the same whole number of margin pixels on each side."""
    return hr_size + 2 * round(hr_size * margin)


def hash_by_name(values: Mapping[str, str]) -> str:
    """Return the SHA-256 (hexadecimal) of the sorted (sample name, value) pairs.

    Two runs have one digest exactly if they agree about every sample.
    """
    digest = hashlib.sha256()
    for name in sorted(values):
        digest.update(f"{name}\t{values[name]}\n".encode(errors="surrogateescape"))  # names need not be UTF-8
    return digest.hexdigest()


class Pictures(Protocol):
    """Pictures that are read by position, one at a time: rows of a file or an encoded column."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> NDArray[np.uint8]: ...


class PreparedStore:
    """Read access to a prepared data set.

    Args:
        path: Directory of the store.

    Attributes:
        path: Directory of the store.
        images: (N, S, S, 3) uint8 on disk, RGB.
        landmarks: Scheme name -> (N, P, 2) float32 on disk, in pixels of the stored image, NaN where not annotated.
        parsing: (N, S, S) uint8 on disk, Helen-11 classes (255 = unlabeled), or None.
        hr_size: Side of the aligned face in the middle of a stored image, in pixels.
        margin: Width of the frame around it in pixels.
        identities: Sorted names of the people.
        identity: (N,) int64, position in `identities`; -1 if the person is unknown.
        manifest: The whole manifest, for reports.
        made_by: Command that makes such a store, for messages.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If the store is unfinished, incomplete, or of another format.
    """

    identity: NDArray[np.int64]
    made_by = "rim-prepare"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self.hr_size: int = self.manifest["hr_size"]
        side = self.manifest["stored_size"]
        self.margin = (side - self.hr_size) // 2
        self.identities: list[str] = self.manifest["identities"]
        self._read_samples()
        count = len(self.identity)
        self.images: Pictures = self._pictures("images", (count, side, side, 3))
        self.landmarks = {
            scheme: self._open(f"landmarks_{scheme}.npy", (count, LANDMARK_SCHEMES[scheme].points, 2), np.float32)
            for scheme in self.manifest["landmark_schemes"]
        }
        self.parsing: Pictures | None = None
        if self.manifest["parsing"]:
            self.parsing = self._pictures("parsing", (count, side, side))

    def _read_samples(self) -> None:
        if self.manifest.get("samples") is None:
            raise ValueError(f"{self.path} is packed already; choose the prepared set that it was made from.")
        samples = self.manifest["samples"]
        self._names: list[str] = [sample["name"] for sample in samples]
        self._splits: list[str] = [sample["split"] for sample in samples]
        position = {name: i for i, name in enumerate(self.identities)}
        self.identity = np.array([position.get(sample["identity"], NO_IDENTITY) for sample in samples], dtype=np.int64)

    def _pictures(self, name: str, shape: tuple[int, ...]) -> Pictures:
        return self._open(f"{name}.npy", shape, np.uint8)

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def names(self) -> Sequence[str]:
        """N sample names."""
        return self._names

    @property
    def synthetic(self) -> bool:
        """True if the faces were painted by `data.synthetic`, False if they are photographs."""
        return "synthesis_version" in self.manifest

    @property
    def splits(self) -> Sequence[str]:
        """N values of "train", "val", "test"."""
        return self._splits

    def select(self, split: str | None = None) -> NDArray[np.int64]:
        """Return the positions of the samples of a split.

        Args:
            split: "train", "val" or "test"; None selects all samples.

        Raises:
            ValueError: If there is no such split.
        """
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        if split not in SPLITS:
            raise ValueError(f"Split '{split}' is not one of {', '.join(SPLITS)}.")
        return np.flatnonzero(np.array(self.splits, dtype=object) == split).astype(np.int64)

    def index_of(self, name: str) -> int:
        """Return the position of the sample of a name.

        Raises:
            KeyError: If the store has no such sample.
        """
        if name not in self._position_of:
            raise KeyError(f"The prepared data in {self.path} have no sample '{name}'.")
        return self._position_of[name]

    @cached_property
    def _position_of(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def _open(self, name: str, shape: tuple[int, ...], dtype: type) -> RowFile | NDArray:
        file = self.path / name
        try:
            open_regular(file).close()
            array = open_rows(file)
        except FileNotFoundError:
            raise ValueError(f"{file} is missing; delete {self.path} and run {self.made_by} again.") from None
        except OSError:
            raise
        except Exception as error:  # a damaged header makes numpy raise errors of any kind
            raise ValueError(
                f"{file} is truncated or damaged; delete {self.path} and run {self.made_by} again."
            ) from error
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{file} holds {array.dtype} {array.shape} where its manifest says {np.dtype(dtype)} {shape}; "
                f"delete {self.path} and run {self.made_by} again."
            )
        return array

    def __reduce__(self) -> tuple[type["PreparedStore"], tuple[Path]]:
        # A worker process opens the files itself: a pickled array would carry the pixels.
        return type(self), (self.path,)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of the store in a directory.

    Args:
        path: Directory of the store.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If the store is unfinished, or its manifest is damaged or of another format.
    """
    file = path / MANIFEST
    if not file.is_file():
        if partial_path(path).is_dir():
            raise ValueError(
                f"The preparation of {path} did not finish; run the same rim-prepare command to resume it."
            )
        raise FileNotFoundError(f"There are no prepared data in {path}; run rim-prepare with output={path} first.")
    from rim_lightning.data.stores.manifest_schema import StoreSchema  # here, because pydantic takes a while
    from rim_lightning.schema import checked

    advice = f"delete {path} and run rim-prepare again"
    manifest = read_json(file, dict, advice, LARGEST_MANIFEST)
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {manifest.get('format')}, this version reads {FORMAT}; delete it and run rim-prepare "
            "again."
        )
    checked(StoreSchema, manifest, file, advice)
    return manifest


def write_manifest(file: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a store. Equal ones have equal bytes: runs are identified by the digest of this file.

    Args:
        file: The file.
        manifest: Its content.
    """
    write_json(file, manifest, indent=1, sort_keys=True)


def partial_path(path: str | os.PathLike[str]) -> Path:
    """Return the directory in which a store is built before it is renamed to `path`."""
    path = Path(path)
    return path.with_name(path.name + ".partial")
