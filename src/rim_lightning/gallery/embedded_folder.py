"""Embeddings of a tree of pictures as a folder of Parquet files, each of them whole or not there.

_embedding.json            what was embedded, by which model and how (`Manifest`)
embeddings_<k>.parquet     `shard` pictures each, in the order of their names, one a row:
    source                 path of the picture in the tree
    person, digest         as in a gallery; null where it was left out
    size, faces            side of the face in pixels of its picture, and how many the picture shows (0: not searched)
    embedding              E numbers, length 1; null where it was left out
    left_out               why it has no embedding; null where it has one
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.files import write_json_once

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MANIFEST = "_embedding.json"  # readers of Parquet pass over names with an underscore
ANOTHER = "give the command that it was begun with, or another output"


@dataclass(frozen=True)
class Manifest:
    """What makes the rows: two runs that agree in it write the same.

    Attributes:
        model: its fingerprint. embedding_size: E. hr_size: side of its sharp faces. side: "gallery" or "probe".
        aligned: whether the pictures are aligned faces. precision: of the network, as Lightning calls it.
        pictures: the tree, an absolute path. count: of its pictures. names: SHA-256 of theirs (`names_digest`).
        shard: pictures of a file.
    """

    model: str
    embedding_size: int
    hr_size: int
    side: str
    aligned: bool
    precision: str
    pictures: str
    count: int
    names: str
    shard: int


class Row(NamedTuple):
    """What is known of a picture besides its embedding; see the columns above."""

    source: str
    person: str | None = None
    digest: str | None = None
    size: float | None = None
    faces: int | None = None
    left_out: str | None = None


class EmbeddedFolder:
    """A folder that `begin` made: a manifest, and the files that are finished.

    Raises:
        FileNotFoundError: there is none. ValueError: its manifest is damaged, or of another version of this package.
        ImportError: pyarrow is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        _parquet()
        self.path = Path(path)
        file = self.path / MANIFEST
        if not file.is_file():
            raise FileNotFoundError(f"{path} holds no embeddings: it has no {MANIFEST}. rim-embed makes such a folder.")
        try:
            content = json.loads(file.read_text())
            if content.pop("format") != FORMAT:
                raise KeyError("format")
            self.manifest = Manifest(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{file} is damaged, or of another version of this package: embed the pictures again, into another "
                "folder."
            ) from error

    @classmethod
    def begin(cls, path: str | Path, manifest: Manifest) -> EmbeddedFolder:
        """The folder for what the manifest says, new or begun by an earlier run; several processes may call this.

        Raises:
            ValueError: it was begun with something else, or holds something else. OSError: it cannot be written.
        """
        path = Path(path)
        if not (path / MANIFEST).is_file():
            path.mkdir(parents=True, exist_ok=True)
            if any(not entry.name.startswith(MANIFEST) for entry in path.iterdir()):
                raise ValueError(f"{path} holds something else than embeddings: give another output.")
            write_json_once(path / MANIFEST, {"format": FORMAT} | asdict(manifest))
        folder = cls(path)
        begun = folder.manifest
        for key in ("model", "side", "aligned", "precision", "shard", "pictures"):
            before, now = getattr(begun, key), getattr(manifest, key)
            if before != now:
                raise ValueError(f"{path} was begun with {key}={before}, this is {key}={now}: {ANOTHER}.")
        if begun.names != manifest.names:
            raise ValueError(
                f"{path} was begun with {begun.count} pictures, and those in {manifest.pictures} are others now "
                f"({manifest.count}): give another output, or the pictures as they were."
            )
        return folder

    @property
    def shards(self) -> range:
        """Numbers of all files, finished or not."""
        return range(-(-self.manifest.count // self.manifest.shard))

    def positions(self, number: int) -> range:
        """Of the pictures of a file, in the order of their names."""
        start = number * self.manifest.shard
        return range(start, min(start + self.manifest.shard, self.manifest.count))

    def file(self, number: int) -> Path:
        """Where a file is, or will be."""
        return self.path / f"embeddings_{number:06d}.parquet"

    def missing(self) -> list[int]:
        """Numbers of the files that are not finished."""
        there = {entry.name for entry in os.scandir(self.path)}
        return [number for number in self.shards if self.file(number).name not in there]

    def write(self, number: int, rows: Sequence[Row], embeddings: NDArray[np.float32]) -> None:
        """Write a file, whole or not at all.

        Args:
            rows: of all its pictures. embeddings: (n, E), of the n that are not left out, in their order.

        Raises:
            OSError: it cannot be written, e.g. because the disk is full.
        """
        pa, pq = _parquet()
        file = self.file(number)
        if len(rows) != len(self.positions(number)):
            raise RuntimeError(f"{file} has {len(self.positions(number))} pictures, got {len(rows)}.")
        present = np.array([row.left_out is None for row in rows])
        vectors = np.zeros((len(rows), self.manifest.embedding_size), np.float32)
        vectors[present] = embeddings
        schema = self._schema()
        known = zip(Row._fields, zip(*rows, strict=True), strict=True)
        columns = [pa.array(column, schema.field(name).type) for name, column in known]
        columns.append(
            pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.reshape(-1)), self.manifest.embedding_size, mask=pa.array(~present)
            )
        )
        content = BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), content, write_page_checksum=True)
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
        try:
            with open(part, "wb") as target:
                target.write(content.getbuffer())
                target.flush()
                os.fsync(target.fileno())
            os.replace(part, file)
        except OSError as error:
            raise OSError(
                f"{file} could not be written ({error.strerror or error}); the finished files are untouched: free "
                "space, then give the same command again."
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """A finished file, or some of its columns.

        Raises:
            ValueError: it is missing or damaged.
        """
        pa, pq = _parquet()
        file = self.file(number)
        damaged = f"{file} is missing or damaged: remove it, and give the command of rim-embed again."
        try:
            table = pq.read_table(BytesIO(file.read_bytes()), columns=columns, page_checksum_verification=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ValueError(damaged) from error
        schema = self._schema()
        if table.schema != pa.schema([schema.field(name) for name in columns or schema.names]) or len(table) != len(
            self.positions(number)
        ):
            raise ValueError(damaged)
        return table

    def left_out(self) -> dict[str, str]:
        """Picture -> why, of the finished files."""
        found = {}
        missing = set(self.missing())
        for number in self.shards:
            if number not in missing:
                table = self.read(number, ["source", "left_out"])
                table = table.filter(table["left_out"].is_valid())
                found |= dict(zip(table["source"].to_pylist(), table["left_out"].to_pylist(), strict=True))
        return found

    def tidy(self) -> None:
        """Remove what killed processes left of files that they did not finish."""
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)

    def _schema(self) -> pa.Schema:
        pa, _ = _parquet()
        text = pa.string()
        fields = [("source", text), ("person", text), ("digest", text), ("size", pa.float32()), ("faces", pa.int32())]
        fields += [("left_out", text), ("embedding", pa.list_(pa.float32(), self.manifest.embedding_size))]
        return pa.schema(fields)


def is_embedded(path: str | Path) -> bool:
    """Whether a folder holds embeddings, finished or not."""
    return (Path(path) / MANIFEST).is_file()


def names_digest(names: Iterable[bytes]) -> str:
    """SHA-256 of names as the file system has them, in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name + b"\0")
    return digest.hexdigest()


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Folders of embeddings need pyarrow: pip install 'rim-lightning[packed]'.") from error
    return pa, pq
