"""Templates of known people in a LanceDB table: a local folder, or an object store by its address."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np

from rim_lightning.extras import require_extra
from rim_lightning.files import check_folder
from rim_lightning.gallery.names import unicode_name
from rim_lightning.gallery.nearest import Nearest, NearestPeople, Vectors
from rim_lightning.gallery.pooled import PooledPeople
from rim_lightning.gallery.table_files import RECORD, TableFiles
from rim_lightning.locks import process_lock, wait_and_hold
from rim_lightning.runs.progress import say

if TYPE_CHECKING:  # people are listed and removed without torch
    from torch import Tensor

TABLE_NAME = "templates"
FINGERPRINT = "fingerprint"
POOLED = "pooled"  # key in the metadata of a table whose people have one template each
REQUIRED = ("person", "source", "digest")  # columns of text that every gallery has
LATER = ("root", "enrolled", "alignment", "detector")  # text that galleries of an earlier version lack until `add`
LOCK_FILE = ".lock"  # file in the gallery's folder, see `Gallery.writing`
LENGTH_TOLERANCE = 0.01  # of the embedding of a template, whose length is 1
RUST_PANIC = "RustPanic"  # class of the errors with which the code of LanceDB itself breaks on a damaged file
BATCH = 4096  # number of templates that are rewritten at a time
ATTEMPTS = 20  # how often a reader begins again whose files another process removed
KEPT = timedelta(days=36_500)  # age of versions that are removed: none, until the new one is on the disk


class Enrolled(NamedTuple):
    """What a gallery knows of a picture of a known person. One of an earlier version knows only the first three.

    Attributes:
        person: Name of the person.
        source: Path of the picture.
        digest: SHA-256 of the picture when it was enrolled.
        root: Folder that was enrolled. None if unknown.
        enrolled: Date and time of the enrollment (ISO 8601, UTC). None if unknown.
        alignment: "aligned" if the picture was taken as an aligned face, "detected" if the largest face was searched
            for, "detected, face 2" or "detected, box x0,y0,x1,y1" if another was chosen. None if unknown.
        detector: Detector that found the face. None if there was none, or if it is unknown.
        faces: Number of faces in the picture, of which the largest was taken. 0 if none was searched for. None if
            unknown.
    """

    person: str
    source: str
    digest: str
    root: str | None = None
    enrolled: str | None = None
    alignment: str | None = None
    detector: str | None = None
    faces: int | None = None


class Template(NamedTuple):
    """A picture of a known person, with its embedding.

    Attributes:
        picture: Person, path and all else that the gallery knows of the picture.
        embedding: (E,), of length 1.
    """

    picture: Enrolled
    embedding: Tensor


class Hit(NamedTuple):
    """A person whom a search found.

    Attributes:
        person: Name of the person.
        source: Path of the picture of that person with the highest similarity.
        similarity: Cosine of the probe and that picture, in [-1, 1]; in a gallery that pools, of the probe and the
            template of all pictures of the person.
        digest: SHA-256 of that picture when it was enrolled.
        enrolled: Date and time of its enrollment (ISO 8601, UTC). None if unknown.
        pooled: Number of pictures of the template, for thresholds. 1 in a gallery that does not pool.
    """

    person: str
    source: str
    similarity: float
    digest: str = ""
    enrolled: str | None = None
    pooled: int = 1


Answer = TypeVar("Answer")
Parameters = ParamSpec("Parameters")


def _while_others_write(
    read: Callable[Concatenate[Gallery, Parameters], Answer],
) -> Callable[Concatenate[Gallery, Parameters], Answer]:
    """Repeat a reading method if another process removed the files that it was reading: it finds those of now."""

    @wraps(read)
    def repeated(gallery: Gallery, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        attempts = 0
        while True:
            try:
                return read(gallery, *args, **kwargs)
            except Exception as error:
                if not _is_of_lance(error, gallery.address):
                    raise
                attempts += 1
                if "Not found" not in str(error):
                    raise _unreadable(gallery.address, error) from error
                if attempts == ATTEMPTS:
                    raise _damaged(gallery.address) from error

    return repeated


class Gallery:
    """Templates of known people, made by one model.

    `add` is whole or not there, even if the process is killed or the power fails. Then the gallery is opened without
    the addition that was being written, and says so. Readers see the content of the moment they began.
    Every method raises OSError if the gallery cannot be read or written, for example because the disk is full; what was
    added before stays.

    Args:
        address: A folder, or an object store as LanceDB takes it (s3://bucket/path, gs://…, az://…). A gallery in an
            object store can be searched and listed; `add`, `delete`, `remove` and `tidy` refuse it.
        fingerprint: Fingerprint of the model (`Recognizer.fingerprint`). None accepts the gallery of any
            model, to list or delete people.
        size: Length E of an embedding. Needed to make a gallery.
        create: True to make the gallery if there is none.
        pooled: True for a gallery whose pictures are pooled, one template for each person. It is chosen when a gallery
            is made; False also opens one that was made so.

    Attributes:
        address: Where the gallery is.
        fingerprint: Fingerprint of its model.
        is_pooled: True if a search compares with the pooled pictures of each person, False if with each picture.

    Raises:
        FileNotFoundError: If there is no gallery.
        ValueError: If the gallery is damaged, was made by another model, is to be made in an object store, or was made
            without `pooled`, which is now wanted.
        OSError: If it cannot be written.
        MissingExtra: If LanceDB is not installed.
    """

    def __init__(
        self,
        address: str | Path,
        fingerprint: str | None,
        size: int = 0,
        create: bool = False,
        pooled: bool = False,
    ) -> None:
        require_extra("gallery", "A gallery")
        self.address = str(address)
        is_folder = "://" not in self.address
        self._process_lock = process_lock(Path(self.address) / LOCK_FILE) if is_folder else None
        folder = Path(self.address)
        self._files = TableFiles(folder / f"{TABLE_NAME}.lance", folder / RECORD) if is_folder else None
        if is_folder and create:
            check_folder(self.address, "place for the gallery")
        elif is_folder and not Path(self.address).is_dir():
            raise FileNotFoundError(self._missing())  # LanceDB would make the folder
        with self.writing() if create else nullcontext():
            self._table = self._open_table(fingerprint, size, create, pooled)
        _check_columns(self._table.schema, self.address)
        metadata = self._table.schema.metadata or {}
        maker = metadata.get(FINGERPRINT.encode(), b"").decode("utf-8", "replace")
        if fingerprint not in (None, maker):
            raise ValueError(
                f"The gallery {self.address} was made by the model {maker or 'of an unknown name'}, this one is "
                f"{fingerprint}: embeddings of two models do not mix. Enroll its pictures again, in another place."
            )
        self.is_pooled = metadata.get(POOLED.encode()) == b"yes"
        if pooled and not self.is_pooled:
            raise ValueError(
                f"The gallery {self.address} has a template for each picture, and whether the pictures of a person are "
                "pooled is chosen when a gallery is made: enroll the pictures in another place, or leave --pool out."
            )
        self.fingerprint = maker
        self._pooled_people: tuple[int, PooledPeople] | None = None  # of a version of the table
        self._schema = self._table.schema
        self._lock = threading.Lock()

    @_while_others_write
    def __len__(self) -> int:
        return self._table.count_rows()

    def owns(self, path: Path) -> bool:
        """Return True if a file is one of those in which the gallery is kept."""
        home, place = os.path.realpath(self.address), os.path.realpath(path)
        own = [os.path.join(home, name) for name in (LOCK_FILE, RECORD)]
        return place in own or place.startswith(os.path.join(home, f"{TABLE_NAME}.lance", ""))

    @contextmanager
    def writing(self) -> Iterator[TableFiles]:
        """Keep other processes from writing while the block runs; wait for one that does.

        Yields:
            The files of the table.

        Raises:
            ValueError: If the gallery is in an object store, which cannot keep them from writing.
            OSError: If nothing can be written to the gallery.
        """
        if self._process_lock is None or self._files is None:
            raise ValueError(
                f"{self.address} is in an object store, which cannot keep a second writer out: change a copy of the "
                "gallery in a folder, and upload that."
            )
        with wait_and_hold(self._process_lock, f"Waiting for another process, which writes to {self.address} ..."):
            yield self._files

    @contextmanager
    def _changing(self) -> Iterator[set[Path]]:
        """Keep others from writing while the block changes the table, then wait until it is on the disk.

        Yields:
            The files of the table before the change.
        """
        with self.writing() as files, self._lock, _storage(self.address):
            if files.durable is None:
                files.settle(set(), self._table.version)
            earlier_files = files.all()
            yield earlier_files
            files.settle(earlier_files, self._table.version)

    def add(self, templates: Iterable[Template]) -> None:
        """Append templates, all of them or none.

        Args:
            templates: The templates.

        Raises:
            ValueError: If embeddings are not finite, or their length is not that of the gallery.
            OSError: If the gallery cannot be written.
        """
        import pyarrow as pa

        templates = list(templates)
        if not templates:
            return
        size = self._schema.field("embedding").type.list_size
        vectors = np.stack([template.embedding.numpy() for template in templates]).astype(np.float32)
        if vectors.shape[1] != size:
            raise ValueError(
                f"The gallery {self.address} holds embeddings of length {size}, got {vectors.shape[1]}: use the model "
                "that made it."
            )
        damaged = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(damaged):
            raise ValueError(
                f"The embedding of {templates[damaged[0]].picture.source} holds NaN or infinity: check the model and "
                "its precision."
            )
        columns_by_field = zip(*(template.picture for template in templates), strict=True)
        values: dict[str, Sequence[Any]] = dict(zip(Enrolled._fields, columns_by_field, strict=True))
        values["person"] = [unicode_name(person) for person in values["person"]]
        with self._changing():
            self._complete_columns()
            columns = [
                pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), size)
                if field.name == "embedding"
                else pa.array(values[field.name], field.type)
                for field in self._schema
            ]
            self._table.add(pa.Table.from_arrays(columns, schema=self._schema))

    @_while_others_write
    def enrolled(self) -> list[Enrolled]:
        """Return all templates without their embeddings."""
        rows = self._columns([name for name in Enrolled._fields if name in self._schema.names])
        return [Enrolled(**dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)]

    @_while_others_write
    def templates_of(self, digests: Collection[str]) -> dict[str, list[Template]]:
        """Return the templates of some pictures.

        Args:
            digests: SHA-256 of the pictures.

        Returns:
            Digest -> every template of that picture.
        """
        import torch

        templates: dict[str, list[Template]] = {}
        digests = set(digests).intersection(self._columns(["digest"])["digest"])
        if not digests:
            return templates
        names = [name for name in Enrolled._fields if name in self._schema.names]
        for batch in self._table.search().select([*names, "embedding"]).limit(max(1, len(self))).to_batches(BATCH):
            for row in batch.filter(_is_in(batch.column("digest"), digests)).to_pylist():
                embedding = torch.tensor(row.pop("embedding"))
                templates.setdefault(row["digest"], []).append(Template(Enrolled(**row), embedding))
        return templates

    @_while_others_write
    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, sorted by name."""
        names, counts = np.unique(self._columns(["person"])["person"], return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    def delete(self, person: str) -> int:
        """Remove all templates of a person for good, see `remove`.

        Args:
            person: Name of the person.

        Returns:
            Number of templates that were removed.

        Raises:
            OSError: If the gallery cannot be written.
        """
        with self.writing():
            return self.remove({row for row in self.enrolled() if row.person == unicode_name(person)})

    def remove(self, templates: Collection[Enrolled]) -> int:
        """Remove templates for good, all of them or none.

        The files are written again without them, and all earlier files are removed, including those that an interrupted
        call left.

        Args:
            templates: Templates to remove, as `enrolled` returned them.

        Returns:
            Number of templates that were removed.

        Raises:
            OSError: If the gallery cannot be written.
        """
        import pyarrow as pa

        names = [name for name in Enrolled._fields if name in self._schema.names]
        unwanted = {tuple(getattr(template, name) for name in names) for template in templates}

        def remaining() -> Iterator[Any]:
            for batch in self._table.search().limit(before).to_batches(BATCH):
                rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
                yield batch.filter(pa.array([row not in unwanted for row in rows])).cast(self._schema)

        with self._changing() as earlier_files:
            before = len(self)
            self._table.add(pa.RecordBatchReader.from_batches(self._schema, remaining()), mode="overwrite")
            removed = before - len(self)
        with self.writing() as files, self._lock, _storage(self.address):
            files.remove(earlier_files)  # Lance would keep versions of a clock that was ahead
        return removed

    def tidy(self) -> None:
        """Join the pieces that many small additions left. Searches are faster afterwards."""
        with self._changing():
            self._table.optimize(cleanup_older_than=KEPT)
        with self.writing(), self._lock, _storage(self.address):
            self._table.optimize()  # nothing is left to join: it removes the files of versions older than a week

    def compared(self) -> int:
        """Return the number of templates that a search compares: of pictures, or of people if these are pooled."""
        return len(self.people()) if self.is_pooled else len(self)

    @_while_others_write
    def search(self, probes: Tensor, top: int = 5, people: Sequence[str] | None = None) -> list[list[Hit]]:
        """Return the people who are most similar to each probe.

        Every template is compared: there is no approximation, not even if somebody gave the table an index. In a
        gallery that pools, the template of a person is the mean of the embeddings of all pictures, of length 1.

        Args:
            probes: (B, E) embeddings of length 1.
            top: Number of people to return.
            people: Names of the people to search among. None for all.

        Returns:
            For each probe up to `top` people, the most similar first, each once.

        Raises:
            OSError: If the gallery cannot be read.
        """
        if len(probes) == 0 or len(self) == 0:
            return [[] for _ in probes]
        if self.is_pooled:
            return self._pooled_search(probes.numpy(), top, people)
        nearest = NearestPeople(probes.numpy(), top)
        for batch in self._every_template(people) if len(probes) > 1 else self._closest(probes[0], top, people):
            self._compare(nearest, batch)
        return [[_hit(hit) for hit in hits] for hits in nearest.found()]

    def _pooled_search(self, probes: Vectors, top: int, people: Sequence[str] | None) -> list[list[Hit]]:
        """Search among the templates of people, then name the picture of each hit that is nearest to the probe."""
        known = self._pooled()
        counts = known.counts()
        nearest = NearestPeople(probes, top)
        for templates, names in known.templates(people if people is None else [unicode_name(name) for name in people]):
            nearest.add(templates, names, np.arange(len(names)))
        found = nearest.found()
        names = sorted({hit.person for hits in found for hit in hits})
        pictures = NearestPeople(probes, len(names))
        for batch in self._every_template(names):
            self._compare(pictures, batch)
        picture_of = [{hit.person: _hit(hit) for hit in hits} for hits in pictures.found()]
        return [
            [
                shown[hit.person]._replace(similarity=hit.similarity, pooled=counts[hit.person])
                for hit in hits
                if hit.person in shown  # else another process has just removed the person
            ]
            for hits, shown in zip(found, picture_of, strict=True)
        ]

    def _pooled(self) -> PooledPeople:
        """Return the pooled people. They are made anew if another version of the table is there."""
        version = self._table.version
        if self._pooled_people is None or self._pooled_people[0] != version:
            pooled = PooledPeople(self._schema.field("embedding").type.list_size)
            for batch in self._every_template(None):
                pooled.add(*self._vectors_of(batch))
            self._pooled_people = version, pooled
        return self._pooled_people[1]

    def _compare(self, nearest: NearestPeople, batch: Any) -> None:
        """Compare the templates of some rows with the probes."""
        about = batch.select([name for name in Hit._fields if name in self._schema.names])
        nearest.add(*self._vectors_of(batch), about)

    def _vectors_of(self, batch: Any) -> tuple[Vectors, list[str], Any]:
        """Return the embeddings of some rows (N, E), the names of their people, and the person of each row (N,)."""
        vectors = np.asarray(batch.column("embedding").flatten()).reshape(batch.num_rows, -1)
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(vectors, axis=1)
        if not (abs(lengths - 1) <= LENGTH_TOLERANCE).all():  # NaN is not either
            raise _damaged(self.address)
        person = batch.column("person").dictionary_encode()
        return vectors, person.dictionary.to_pylist(), person.indices.to_numpy()

    def _every_template(self, people: Sequence[str] | None) -> Iterator[Any]:
        """Read all templates of some people, in batches."""
        yield from _among(self._table.search().limit(len(self)), people).to_batches(BATCH)

    def _closest(self, probe: Tensor, top: int, people: Sequence[str] | None) -> Iterator[Any]:
        """Let LanceDB choose the templates nearest to one probe, of `top` people: twice as fast as to read them all."""
        query = self._table.search(probe.numpy().astype(np.float32), vector_column_name="embedding")
        query = _among(query.distance_type("cosine").bypass_vector_index(), people)
        limit = 4 * top + 4
        while True:
            rows = query.limit(limit).to_arrow()
            if len(rows["person"].unique()) > top or len(rows) < limit:  # enough, or there is nothing more
                break
            limit *= 4
        yield from rows.combine_chunks().to_batches()

    def _open_table(self, fingerprint: str | None, size: int, create: bool, pooled: bool) -> Any:
        """Open the table, or make it. The annotations of LanceDB lack some of its methods."""
        import lancedb
        import pyarrow as pa

        with _storage(self.address):
            database = lancedb.connect(self.address, read_consistency_interval=timedelta(0))  # others write too
            tables = database.list_tables().tables
        if TABLE_NAME in tables and not (self._files is not None and self._files.are_none()):
            return self._whole_table(database)
        if not create:
            raise FileNotFoundError(self._missing())
        fields = [pa.field(name, pa.string(), nullable=False) for name in REQUIRED]
        fields.append(pa.field("embedding", pa.list_(pa.float32(), size), nullable=False))
        fields += _later_fields()
        with _storage(self.address):
            metadata = {FINGERPRINT: fingerprint} | ({POOLED: "yes"} if pooled else {})
            schema = pa.schema(fields, metadata=metadata)
            table = database.create_table(TABLE_NAME, schema=schema, mode="overwrite" if tables else "create")
            with self.writing() as files:
                files.settle(set(), table.version)
            return table

    def _whole_table(self, database: Any) -> Any:
        """Open the table, without what was being written when the power failed."""
        table, cause = self._newest_table(database)
        if table is None and self._files is not None and self._files.durable is not None:
            with self.writing() as files:
                table, cause = self._newest_table(database)  # another process may have finished meanwhile
                if table is None and files.drop_unfinished():
                    table, cause = self._newest_table(database)
                    say(
                        f"The newest change of the gallery {self.address} was cut off, as by a power cut. It was "
                        "dropped, and what was there before is whole: repeat the command that was interrupted.",
                        err=True,
                    )
        if table is None:
            raise _damaged(self.address) from cause
        return table

    def _newest_table(self, database: Any) -> tuple[Any, Exception | None]:
        """Open the newest version. Return None and the error if it is damaged."""
        try:
            table = database.open_table(TABLE_NAME)
            if self._files is not None and self._files.durable not in (None, table.version):
                _check_readable(table)
        except Exception as error:
            if not isinstance(error, OSError) and not _is_of_lance(error, self.address):
                raise
            return None, error
        return table, None

    def _missing(self) -> str:
        return f"There is no gallery at {self.address}: rim enroll makes one."

    def _complete_columns(self) -> None:
        """Add the columns that a gallery of an earlier version lacks. Their values are unknown."""
        import pyarrow as pa

        self._schema = self._table.schema
        if missing := [field for field in _later_fields() if field.name not in self._schema.names]:
            self._table.add_columns(pa.schema(missing))
            self._schema = self._table.schema

    def _columns(self, names: list[str]) -> dict[str, Any]:
        rows = self._table.search().select(names).limit(max(1, len(self))).to_arrow()
        return {name: rows[name].to_pylist() for name in names}


def _among(query: Any, people: Sequence[str] | None) -> Any:
    """Restrict a query to some people; None for all."""
    if people is None:
        return query
    listed = ", ".join(_quoted(unicode_name(name)) for name in people)
    return query.where(f"person IN ({listed})" if people else "false")


def _hit(nearest: Nearest) -> Hit:
    (row,) = nearest.batch.slice(nearest.row, 1).to_pylist()
    return Hit(**row, similarity=nearest.similarity)


def _damaged(address: str) -> ValueError:
    return ValueError(
        f"The gallery {address} is damaged: restore it from a copy, or enroll its pictures again in another place."
    )


def _is_of_lance(error: Exception, address: str) -> bool:
    """Return True for an error that LanceDB raised of a table; one of ours is a ValueError that names the gallery."""
    if isinstance(error, RuntimeError) or type(error).__name__ == RUST_PANIC:
        return True
    text = str(error)
    return isinstance(error, ValueError) and ("lance error" in text or address not in text)


def _unreadable(address: str, error: Exception) -> OSError:
    return OSError(
        f"The gallery {address} cannot be read ({_reason(error)}): it is damaged, or its storage does not answer. "
        "Repeat the command, restore it from a copy, or enroll its pictures again in another place."
    )


def _reason(error: Exception) -> str:
    """Return an error of LanceDB without the place in its sources."""
    return re.sub(r", \S+\.rs:\d+:\d+$", "", str(error).strip()).partition("\n")[0]


def _check_columns(schema: Any, address: str) -> None:
    """Raise ValueError if a table is no gallery: columns are missing, or of another type."""
    import pyarrow as pa

    types: dict[str, Any] = {field.name: field.type for field in schema}
    embedding = types.get("embedding")
    texts = [*(types.get(name) for name in REQUIRED), *(types.get(name, pa.string()) for name in LATER)]
    counts = types.get("faces") in (None, pa.int32())
    vectors = embedding is not None and pa.types.is_fixed_size_list(embedding) and embedding.value_type == pa.float32()
    if set(texts) != {pa.string()} or not counts or not vectors:
        raise _damaged(address)


def _check_readable(table: Any) -> None:
    """Read a whole table. Raise an error if a part is damaged: of a file whose end alone is there, the rest is zero."""
    columns, metadata = set(table.schema.names), table.schema.metadata or {}
    if not {*REQUIRED, "embedding"} <= columns or FINGERPRINT.encode() not in metadata:
        raise ValueError("columns or the name of the model are missing")
    for batch in table.search().limit(max(1, table.count_rows())).to_batches(BATCH):
        vectors = np.asarray(batch.column("embedding").flatten()).reshape(batch.num_rows, -1)
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
            raise ValueError("an embedding has another length than 1")


def _later_fields() -> list[Any]:
    import pyarrow as pa

    return [*(pa.field(name, pa.string()) for name in LATER), pa.field("faces", pa.int32())]


def _is_in(column: Any, values: Collection[str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(column, pa.array(list(values), pa.string()))


@contextmanager
def _storage(address: str) -> Iterator[None]:
    """Raise LanceDB's own errors of the storage as OSError, in one sentence."""
    try:
        yield
    except RuntimeError as error:
        if "LanceError" not in str(error):
            raise
        full = any(sign in str(error) for sign in ("No space left", "File too large", "quota exceeded"))
        why = "there is no space left" if full else _reason(error)
        raise OSError(
            f"The gallery {address} cannot be written: {why}. Earlier additions are kept. Remove the cause, then "
            "repeat the command."
        ) from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
