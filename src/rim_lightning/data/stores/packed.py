"""Stores for millions of faces: the pictures are encoded, in Arrow files.

A packed store is made from a prepared one (`pack`) and is read like it. It is about a tenth as large and holds only
names and people in memory, at the price of decoding every picture (JPEG images, PNG parsing maps):

    manifest.json            that of the prepared store without the list of samples; "packed": quality, rows of a file
    samples.arrow            name, identity (position in `identities`, −1 unknown), split (position in `SPLITS`)
    pictures_<k>.arrow       `SHARD_SAMPLES` samples each: image, and parsing if the set has it, one row a batch
    landmarks_<scheme>.npy   those of the prepared store
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.stores.prepared import MANIFEST, SPLITS, Pictures, PreparedStore, read_manifest, write_manifest
from rim_lightning.data.stores.writer import one_writer
from rim_lightning.extras import require_extra
from rim_lightning.files import check_writable, open_regular, put_in_place, real_path
from rim_lightning.json_files import read_json
from rim_lightning.runs.progress import progress_bar

SHARD_SAMPLES = 10_000  # samples in a file
JPEG = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


class PackedPictures:
    """One column of the picture files, read like an (N, ...) array of uint8, one picture at a time.

    Args:
        folder: Directory of the store.
        column: "image" or "parsing".
        shape: (N, S, S, 3) for images, (N, S, S) for parsing maps.
        shard: Samples in a file.
    """

    def __init__(self, folder: Path, column: str, shape: tuple[int, ...], shard: int) -> None:
        self.folder, self.column, self.shape, self.shard = folder, column, shape, shard
        self._files: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        """Decode the picture at a position.

        Raises:
            ValueError: If its file is missing or damaged.
        """
        number, row = divmod(int(position), self.shard)
        name = self.folder / picture_file(number)
        try:
            if number not in self._files:
                self._files[number] = _open(name)
            content = self._files[number].get_batch(row).column(self.column)[0].as_buffer()
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except (OSError, ValueError, IndexError, KeyError, AttributeError, cv2.error) as error:  # and Arrow's
            raise ValueError(f"{name} is missing or damaged; delete {self.folder} and run rim-pack again.") from error
        if picture is None or picture.shape != self.shape[1:]:
            raise ValueError(f"Picture {row} of {name} is damaged; delete {self.folder} and run rim-pack again.")
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture
        return np.asarray(picture, dtype=np.uint8)


class PackedStore(PreparedStore):
    """Read access to a packed store; see `PreparedStore`. `images` and `parsing` are `PackedPictures`."""

    made_by = "rim-pack"

    def _read_samples(self) -> None:
        file = self.path / "samples.arrow"
        try:
            samples = _open(file).read_all()
            self._name_column = samples.column("name")
            self.identity = samples.column("identity").to_numpy()
            self._split_numbers = samples.column("split").to_numpy()
            _check_samples(str(self._name_column.type), self.identity, self._split_numbers, len(self.identities))
        except (OSError, ValueError, KeyError) as error:  # Arrow's errors are among these
            raise ValueError(f"{file} is missing or damaged; delete {self.path} and run rim-pack again.") from error

    @property
    def names(self) -> Sequence[str]:
        """N sample names; a new list each time, which takes a while for millions."""
        return self._name_column.to_pylist()

    @property
    def splits(self) -> Sequence[str]:
        """N values of "train", "val", "test"."""
        return [SPLITS[number] for number in self._split_numbers]

    def select(self, split: str | None = None) -> NDArray[np.int64]:
        """Return the positions of the samples of a split, see `PreparedStore.select`."""
        if split is None or split not in SPLITS:
            return super().select(split)
        return np.flatnonzero(self._split_numbers == SPLITS.index(split)).astype(np.int64)

    def _pictures(self, name: str, shape: tuple[int, ...]) -> Pictures:
        column = {"images": "image", "parsing": "parsing"}[name]
        return PackedPictures(self.path, column, shape, self.manifest["packed"]["shard"])


def open_store(path: str | os.PathLike[str]) -> PreparedStore:
    """Open the store in a directory, prepared or packed.

    Args:
        path: Directory of the store.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If the store is unfinished, incomplete, or of another format.
    """
    return PackedStore(path) if read_manifest(Path(path)).get("packed") else PreparedStore(path)


def pack(
    store: PreparedStore,
    output: str | os.PathLike[str],
    quality: int = 95,
    shard: int = SHARD_SAMPLES,
    progress: bool = True,
) -> PackedStore:
    """Pack a prepared store. A run that was killed resumes with the first unfinished file.

    If another process of this machine packs to the same place, it is waited for.

    Args:
        store: Prepared store.
        output: Directory of the packed store.
        quality: Quality of the JPEG images, 1 to 100; chroma is kept in full.
        shard: Samples in a file.
        progress: Show a progress bar.

    Returns:
        The packed store.

    Raises:
        ValueError: If `output` holds something other than this packed set, or the quality is out of range.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; a JPEG has a quality between 1 and 100.")
    output = Path(output)
    if real_path(store.path) in (real_path(output), *real_path(output).parents):
        raise ValueError(f"{output} is in the prepared set itself: choose another output.")
    manifest = {key: value for key, value in store.manifest.items() if key != "samples"}
    manifest["packed"] = {"quality": quality, "shard": shard}
    if _is_packed(output, manifest):
        return PackedStore(output)
    with one_writer(output):
        if not _is_packed(output, manifest):  # else another process has packed it meanwhile
            _pack(store, output, manifest, output.name if progress else None)
    return PackedStore(output)


def _is_packed(output: Path, manifest: dict[str, Any]) -> bool:
    """Return True if the packed set of a manifest is in its place.

    Raises:
        ValueError: If something else is there.
    """
    if (output / MANIFEST).is_file():
        if read_json(output / MANIFEST, dict) == manifest:
            return True
        raise ValueError(
            f"{output} holds another set, or this one packed with another quality; delete it or choose another output."
        )
    check_writable(output)
    if output.exists():
        raise ValueError(f"{output} exists and is not a packed set; choose another output.")
    return False


def _pack(store: PreparedStore, output: Path, manifest: dict[str, Any], title: str | None) -> None:
    """Write a packed set next to its place, then move it there. Its manifest is written when all else is."""
    partial = output.with_name(f"{output.name}.packing")
    marker = partial / "packing.json"
    if not _is_of(partial / MANIFEST, manifest):  # else a killed run had only this folder left to move
        if not _is_of(marker, manifest):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_manifest(marker, manifest)
        _write_set(partial, store, manifest["packed"]["quality"], manifest["packed"]["shard"], title)
        os.replace(marker, partial / MANIFEST)
    put_in_place(partial, output)


def _is_of(file: Path, manifest: dict[str, Any]) -> bool:
    """Return True if a file holds a manifest. One that is damaged, as by a power cut, holds none."""
    try:
        return read_json(file, dict) == manifest
    except (OSError, ValueError):
        return False


def _write_set(folder: Path, store: PreparedStore, quality: int, shard: int, title: str | None) -> None:
    """Write the files of a packed store that are missing. Without a title no progress bar is shown."""
    with _named(folder / "samples.arrow"):
        _write_samples(folder / "samples.arrow", store)
    for scheme in store.landmarks:
        shutil.copyfile(store.path / f"landmarks_{scheme}.npy", folder / f"landmarks_{scheme}.npy")
    starts = range(0, len(store), shard)
    for number, start in enumerate(progress_bar(starts, desc=title, unit="file", shown=title is not None)):
        file = folder / picture_file(number)
        if not file.is_file():
            with _named(file):
                _write_pictures(file, store, range(start, min(start + shard, len(store))), quality)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file in an error of the system: Arrow's does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(file)) from error


def picture_file(number: int) -> str:
    """Return the name of the picture file of a number; it holds the samples from `number` * `shard` on."""
    return f"pictures_{number:05d}.arrow"


def _check_samples(names: str, identity: NDArray[Any], splits: NDArray[Any], people: int) -> None:
    """Raise ValueError if the columns of the samples have another type, or numbers of no person or split."""
    if names != "string" or identity.dtype != np.int64 or splits.dtype != np.int8:
        raise ValueError("a column has another type")
    if len(identity) and not (identity.min() >= -1 and identity.max() < people):
        raise ValueError("a sample is of no person")
    if len(splits) and not (splits.min() >= 0 and splits.max() < len(SPLITS)):
        raise ValueError("a sample is of no split")


def _write_samples(path: Path, store: PreparedStore) -> None:
    import pyarrow as pa

    splits = [SPLITS.index(split) for split in store.splits]
    table = pa.table({"name": store.names, "identity": store.identity, "split": pa.array(splits, pa.int8())})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_pictures(path: Path, store: PreparedStore, positions: range, quality: int) -> None:
    import pyarrow as pa

    columns = ["image"] if store.parsing is None else ["image", "parsing"]
    schema = pa.schema([(column, pa.binary()) for column in columns])
    part = path.with_suffix(".part")  # a fixed name: a resumed run overwrites what a killed one left
    with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for position in positions:
            image = np.asarray(cv2.cvtColor(np.asarray(store.images[position]), cv2.COLOR_RGB2BGR), dtype=np.uint8)
            row = [_encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality, *JPEG))]
            if store.parsing is not None:
                row.append(_encoded(".png", np.asarray(store.parsing[position]), ()))
            writer.write_batch(pa.record_batch([pa.array([cell]) for cell in row], schema=schema))
    put_in_place(part, path)


def _encoded(suffix: str, picture: NDArray[np.uint8], options: tuple[int, ...]) -> bytes:
    return cv2.imencode(suffix, picture, options)[1].tobytes()


def _open(path: Path) -> Any:
    require_extra("packed", f"The packed set {path.parent}")
    import pyarrow as pa

    open_regular(path).close()  # Arrow would wait for the writer of a pipe

    return pa.ipc.open_file(pa.OSFile(str(path)))  # a memory map of a file that shrinks ends the process by SIGBUS
