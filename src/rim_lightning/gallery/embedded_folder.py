"""Embeddings of a tree of pictures as a folder of Parquet files, each of which is whole or missing.

_embedding.json            what was embedded, by which model and with which settings (`Manifest`)
embeddings_<k>.parquet     `shard` pictures each, in the order of their names, one per row:
    source                 path of the picture in the tree
    person, digest         as in a gallery; the person of a picture that was left out is null
    size, faces            side of the face in pixels of its picture, and number of faces (0 if none was searched for)
    turned                 degrees by which the picture was turned clockwise; files of earlier versions lack this column
    embedding              E numbers, length 1; null if the picture was left out
    left_out               reason why there is no embedding; null if there is one
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from rim_lightning.data.face_notes import face_notes
from rim_lightning.extras import require_extra
from rim_lightning.files import changed_files, check_folder, open_regular, printable, whole_file, write_json_once
from rim_lightning.json_files import read_json
from rim_lightning.schema import Schema, checked

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MOST_FILES = 10**6
TURNED = "turned"
"""Column that files of earlier versions lack; it is read as null there."""

MANIFEST = "_embedding.json"  # readers of Parquet skip names that begin with an underscore
ADVICE = "repeat the command that it was begun with, or choose another output"


class Manifest(Schema):
    """Everything that decides the rows. Two runs with equal manifests write the same files.

    Attributes:
        model: Fingerprint of the model.
        embedding_size: Length E of an embedding.
        hr_size: Side of the model's sharp faces in pixels.
        side: "gallery" or "probe".
        aligned: True if the pictures are aligned square faces.
        precision: Precision of the network, as Lightning calls it.
        pictures: Absolute path of the tree.
        count: Number of pictures in the tree.
        names: SHA-256 of their names (`names_digest`).
        shard: Number of pictures in a file.
        detector: Name of what found the faces. Folders of version 0.1 do not say it: there was one alone.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    embedding_size: Annotated[int, Field(ge=1, le=10**6)]
    hr_size: Annotated[int, Field(ge=1, le=8192)]
    side: Annotated[str, Field(pattern="^(gallery|probe)$")]
    aligned: bool
    precision: str
    pictures: str
    count: Annotated[int, Field(ge=0, le=10**10)]
    names: str
    shard: Annotated[int, Field(ge=1, le=10**7)]
    detector: str = "mtcnn"

    @model_validator(mode="after")
    def _has_few_files(self) -> Manifest:
        if self.count > MOST_FILES * self.shard:
            raise ValueError(f"there must be at most {MOST_FILES:,} files")
        return self


class EmbeddedRow(NamedTuple):
    """One picture without its embedding.

    Attributes:
        source: Path of the picture in the tree.
        person: Name of the person.
        digest: SHA-256 of the file.
        size: Side of the face in pixels of its picture.
        faces: Number of faces in the picture; 0 if none was searched for.
        left_out: Reason why the picture has no embedding, or None.
        turned: Degrees by which the picture was turned clockwise, because its face lies on its side. None if the
            picture has no embedding, or was embedded by an earlier version.
    """

    source: str
    person: str | None = None
    digest: str | None = None
    size: float | None = None
    faces: int | None = None
    left_out: str | None = None
    turned: int | None = None


class EmbeddedFolder:
    """A folder that `begin` made: a manifest and the files that are finished.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        manifest: What was embedded, and with which settings.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If its manifest is damaged, or of another version of this package.
        MissingExtra: If pyarrow is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        _parquet()
        self.path = Path(path)
        file = self.path / MANIFEST
        if not file.is_file():
            raise FileNotFoundError(f"{path} holds no embeddings: it has no {MANIFEST}. rim-embed makes such a folder.")
        advice = "embed the pictures again, into another folder"
        content = read_json(file, dict, advice)
        if content.pop("format", None) != FORMAT:
            raise ValueError(f"{file} is not of format {FORMAT}: {advice}.")
        self.manifest = checked(Manifest, content, file, advice)

    @classmethod
    def begin(cls, path: str | Path, manifest: Manifest, names: Iterable[bytes] = ()) -> EmbeddedFolder:
        """Open the folder for a manifest, or make it if it is missing. Several processes may call this at once.

        Args:
            path: The folder.
            manifest: What is to be embedded, and with which settings.
            names: Names of the pictures as the file system has them, for the message if they are others.

        Returns:
            The folder, new or begun by an earlier run.

        Raises:
            ValueError: If the folder was begun with another manifest, or holds something else.
            OSError: If it cannot be written.
        """
        path = Path(path)
        if not (path / MANIFEST).is_file():
            check_folder(path, "output")
            if any(not entry.name.startswith((MANIFEST, f".{MANIFEST}")) for entry in path.iterdir()):
                raise ValueError(f"{path} holds something other than embeddings: choose another output.")
            write_json_once(path / MANIFEST, {"format": FORMAT} | manifest.model_dump())
        folder = cls(path)
        earlier = folder.manifest
        for key in ("model", "side", "aligned", "detector", "precision", "shard", "pictures"):
            before, now = getattr(earlier, key), getattr(manifest, key)
            if before != now:
                raise ValueError(f"{path} was begun with {key}={before}, this is {key}={now}: {ADVICE}.")
        if earlier.names != manifest.names:
            raise ValueError(
                f"{path} was begun with {earlier.count} pictures, but {manifest.pictures} now holds other pictures "
                f"({manifest.count}): choose another output, or restore the pictures{folder._what_differs(names)}. New "
                "ones alone are embedded by rim enroll --model, into a gallery that has the others."
            )
        return folder

    def _what_differs(self, names: Iterable[bytes]) -> str:
        """Return which pictures are new and gone, as far as the files are finished."""
        if self.missing():
            return ""
        before = {name for number in self.shards for name in self.read(number, ["source"])["source"].to_pylist()}
        now = {os.fsdecode(name) for name in names}
        sets = {"new": sorted(now - before), "gone": sorted(before - now)}
        parts = [f"{len(some)} {what}, the first is {printable(some[0])}" for what, some in sets.items() if some]
        return f" ({'; '.join(parts)})" if parts else ""

    @property
    def shards(self) -> range:
        """Numbers of all files, finished or missing."""
        return range(-(-self.manifest.count // self.manifest.shard))

    def positions(self, number: int) -> range:
        """Return the positions of the pictures of a file among all pictures, in the order of their names.

        Args:
            number: Number of the file.

        Returns:
            The positions.
        """
        start = number * self.manifest.shard
        return range(start, min(start + self.manifest.shard, self.manifest.count))

    def file(self, number: int) -> Path:
        """Return the path of a file, finished or missing.

        Args:
            number: Number of the file.

        Returns:
            The path.
        """
        return self.path / f"embeddings_{number:06d}.parquet"

    def missing(self) -> list[int]:
        """Return the numbers of the files that are not finished."""
        names = {entry.name for entry in os.scandir(self.path)}
        return [number for number in self.shards if self.file(number).name not in names]

    def write(self, number: int, rows: Sequence[EmbeddedRow], embeddings: NDArray[np.float32]) -> None:
        """Write a file, whole or not at all.

        Args:
            number: Number of the file.
            rows: All its pictures.
            embeddings: (n, E) embeddings of the n pictures that are not left out, in their order.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        pa, pq = _parquet()
        file = self.file(number)
        if len(rows) != len(self.positions(number)):
            raise RuntimeError(f"{file} has {len(self.positions(number))} pictures, got {len(rows)}.")
        present = np.array([row.left_out is None for row in rows])
        vectors = np.zeros((len(rows), self.manifest.embedding_size), np.float32)
        vectors[present] = embeddings
        schema = self._schema()
        named_columns = zip(EmbeddedRow._fields, zip(*rows, strict=True), strict=True)
        columns = [pa.array(column, schema.field(name).type) for name, column in named_columns]
        columns.append(
            pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.reshape(-1)), self.manifest.embedding_size, mask=pa.array(~present)
            )
        )
        content = BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), content, write_page_checksum=True)
        try:
            with whole_file(file) as part:
                part.write_bytes(content.getbuffer())
        except OSError as error:
            raise OSError(
                f"{file} could not be written ({error.strerror or error}); the finished files are untouched: free "
                "space, then repeat the command."
            ) from error

    def read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """Read a finished file, or some of its columns.

        Args:
            number: Number of the file.
            columns: Names of the columns. None for all.

        Returns:
            The rows.

        Raises:
            ValueError: If the file is missing or damaged.
        """
        pa, pq = _parquet()
        file = self.file(number)
        damaged = f"{file} is missing or damaged: remove it, then repeat the command of rim-embed."
        schema = self._schema()
        expected = pa.schema([schema.field(name) for name in columns or schema.names])
        try:
            with open_regular(file) as stream:
                content = BytesIO(stream.read())
            metadata = pq.read_metadata(content)
            if metadata.num_rows != len(self.positions(number)):
                raise ValueError("another number of rows")
            stored = set(metadata.schema.to_arrow_schema().names)
            names = [name for name in expected.names if name != TURNED or name in stored]
            table = pq.read_table(content, columns=names, page_checksum_verification=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ValueError(damaged) from error
        if len(names) < len(expected):
            table = table.append_column(schema.field(TURNED), pa.nulls(len(table), pa.int32())).select(expected.names)
        if table.schema != expected or len(table) != len(self.positions(number)):
            raise ValueError(damaged)
        return table

    def needs_work(self) -> bool:
        """Return True if files are missing, or hold pictures that have another content now."""
        return bool(self.missing()) or any(self.changed_pictures(number) for number in self.shards)

    def changed_pictures(self, number: int) -> list[str]:
        """Return the pictures of a finished file that have another content now; none if the file is missing.

        Pictures that are gone, and those that an earlier version left out, count as unchanged.

        Args:
            number: Number of the file.

        Returns:
            Paths in the tree.

        Raises:
            ValueError: If the file is damaged.
        """
        if not self.file(number).is_file():
            return []
        table = self.read(number, ["source", "digest"])
        rows = zip(table["source"].to_pylist(), table["digest"].to_pylist(), strict=True)
        compared = [(source, digest) for source, digest in rows if digest is not None]
        changed = set(
            changed_files([(os.path.join(self.manifest.pictures, name), digest) for name, digest in compared])
        )
        return [name for name, _ in compared if os.path.join(self.manifest.pictures, name) in changed]

    def left_out(self) -> dict[str, str]:
        """Return the pictures of the finished files that have no embedding, each with the reason."""
        reasons: dict[str, str] = {}
        missing = set(self.missing())
        for number in self.shards:
            if number not in missing:
                table = self.read(number, ["source", "left_out"])
                table = table.filter(table["left_out"].is_valid())
                reasons |= dict(zip(table["source"].to_pylist(), table["left_out"].to_pylist(), strict=True))
        return reasons

    def notes(self) -> dict[str, list[str]]:
        """Return what else a user should know about the pictures of the finished files.

        Returns:
            The end of a sentence that begins with the name -> the pictures. Only pictures that have an embedding.
        """
        pictures_of: dict[str, list[str]] = {}
        missing = set(self.missing())
        for number in self.shards:
            if number not in missing:
                for row in self.read(number, ["source", "faces", "left_out", TURNED]).to_pylist():
                    if row["left_out"] is None:
                        for note in face_notes(row["faces"], row[TURNED], "the largest"):
                            pictures_of.setdefault(note, []).append(row["source"])
        return pictures_of

    def tidy(self) -> None:
        """Remove the unfinished files that killed processes left."""
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)

    def _schema(self) -> pa.Schema:
        pa, _ = _parquet()
        text = pa.string()
        fields = [("source", text), ("person", text), ("digest", text), ("size", pa.float32()), ("faces", pa.int32())]
        fields += [
            ("left_out", text),
            (TURNED, pa.int32()),
            ("embedding", pa.list_(pa.float32(), self.manifest.embedding_size)),
        ]
        return pa.schema(fields)


def is_embedded(path: str | Path) -> bool:
    """Tell a folder of embeddings, finished or not, from other folders.

    Args:
        path: The folder.

    Returns:
        True if it has a manifest.
    """
    return (Path(path) / MANIFEST).is_file()


def names_digest(names: Iterable[bytes]) -> str:
    """Return the SHA-256 of a list of names.

    Args:
        names: Names as the file system has them, in order.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(name + b"\0")
    return digest.hexdigest()


def _parquet() -> tuple[Any, Any]:
    """Import pyarrow, which is optional."""
    require_extra("packed", "A folder of embeddings")
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa, pq
