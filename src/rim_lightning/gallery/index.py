"""Templates of known people in a LanceDB table: a local folder, or an object store by its address."""

from __future__ import annotations

import threading
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

TABLE = "templates"
FINGERPRINT = "fingerprint"
OTHERS = ("source", "digest")
BATCH = 4096  # templates that are rewritten at a time


class Template(NamedTuple):
    """Attributes: person: name. source: where the picture is. digest: SHA-256 of its content. embedding: (E,), of
    length 1.
    """

    person: str
    source: str
    digest: str
    embedding: Tensor


class Hit(NamedTuple):
    """Attributes: person. source: of the picture that is most alike. similarity: cosine, in [-1, 1]."""

    person: str
    source: str
    similarity: float


class Gallery:
    """What was enrolled, by one model.

    Every `add` is whole or not there, also when the process is killed; readers see what was there when they began.

    Args:
        address: a folder, or an object store as LanceDB takes it (s3://bucket/path, gs://…, az://…).
        fingerprint: of the model (`Recognizer.fingerprint`); None: whichever it was, to list and to delete.
        size: E, of the embeddings, where the gallery is made. create: make it where there is none yet.

    Attributes: fingerprint: of its model.

    Raises:
        FileNotFoundError: there is no gallery. ValueError: it was made by another model. OSError, from every method
            too: it cannot be read or written, as on a full disk; what was added before is there. ImportError: LanceDB
            is not installed.
    """

    def __init__(self, address: str | Path, fingerprint: str | None, size: int = 0, create: bool = False) -> None:
        try:
            import lancedb
            import pyarrow as pa
        except ImportError as error:
            raise ImportError("A gallery needs LanceDB: pip install 'rim-lightning[gallery]'.") from error
        self.address = str(address)
        missing = f"There is no gallery at {self.address}: rim enroll makes one."
        if not create and "://" not in self.address and not Path(self.address).is_dir():
            raise FileNotFoundError(missing)  # LanceDB would make the folder
        database = lancedb.connect(self.address, read_consistency_interval=timedelta(0))  # others write too
        if TABLE in database.list_tables().tables:
            try:
                self._table = database.open_table(TABLE)
            except (ValueError, RuntimeError) as error:
                raise ValueError(
                    f"The gallery {self.address} is damaged: restore it from a copy, or enroll its pictures again in "
                    "another place."
                ) from error
        elif create:
            fields = [pa.field(name, pa.string(), nullable=False) for name in ("person", *OTHERS)]
            fields.append(pa.field("embedding", pa.list_(pa.float32(), size), nullable=False))
            with _storage(self.address):
                schema = pa.schema(fields, metadata={FINGERPRINT: fingerprint})
                self._table = database.create_table(TABLE, schema=schema)
        else:
            raise FileNotFoundError(missing)
        found = (self._table.schema.metadata or {}).get(FINGERPRINT.encode(), b"").decode()
        if fingerprint not in (None, found):
            raise ValueError(
                f"The gallery {self.address} was made by the model {found or 'of an unknown name'}, this one is "
                f"{fingerprint}: embeddings of two models do not mix. Enrol its pictures again, in another place."
            )
        self.fingerprint = found
        self._schema = self._table.schema
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._table.count_rows()

    def add(self, templates: Iterable[Template]) -> None:
        """Append templates, all of them or none."""
        import pyarrow as pa

        templates = list(templates)
        if not templates:
            return
        size = self._schema.field("embedding").type.list_size
        vectors = np.stack([each.embedding.numpy() for each in templates]).astype(np.float32)
        if vectors.shape[1] != size or not np.isfinite(vectors).all():
            raise ValueError(f"Embeddings of this gallery have {size} finite numbers, got {vectors.shape[1]}.")
        people = [_normal(each.person) for each in templates]
        columns = [pa.array(people), *(pa.array([getattr(each, name) for each in templates]) for name in OTHERS)]
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), size))
        with self._lock, _storage(self.address):
            self._table.add(pa.Table.from_arrays(columns, schema=self._schema))

    def enrolled(self) -> set[tuple[str, str]]:
        """(person, digest) of every template."""
        rows = self._columns(["person", "digest"])
        return set(zip(rows["person"], rows["digest"], strict=True))

    def people(self) -> dict[str, int]:
        """Person -> how many templates, by name."""
        names, counts = np.unique(self._columns(["person"])["person"], return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    def delete(self, person: str) -> int:
        """Remove all templates of a person for good; returns how many.

        The files are written anew without them, and all earlier ones are removed, also where an earlier call was killed
        before it came to that. Nobody else may write to the gallery meanwhile; a search in another process may have to
        be repeated.
        """
        import pyarrow as pa

        with self._lock, _storage(self.address), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of just that
            removed = self._table.delete(f"person = {_quoted(_normal(person))}").num_deleted_rows
            if len(self):
                batches = self._table.search().limit(len(self)).to_batches(BATCH)
                rest = pa.RecordBatchReader.from_batches(self._schema, (b.cast(self._schema) for b in batches))
                self._table.add(rest, mode="overwrite")
            self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        return removed

    def tidy(self) -> None:
        """Join the pieces that many small additions left, which makes searches faster."""
        with _storage(self.address):
            self._table.optimize()

    def search(self, probes: Tensor, top: int = 5, people: Sequence[str] | None = None) -> list[list[Hit]]:
        """The people most alike to each probe, best first, each once, with the picture that is most alike.

        Every template is compared: no approximation, not even where somebody gave the table an index.

        Args:
            probes: (B, E), length 1. top: how many people. people: only among these; None: among all.
        """
        if len(probes) == 0 or len(self) == 0:
            return [[] for _ in probes]
        query = self._table.search(probes.numpy().astype(np.float32), vector_column_name="embedding")
        query = query.distance_type("cosine").bypass_vector_index().select(["person", "source", "_distance"])
        if people is not None:
            names = ", ".join(_quoted(_normal(name)) for name in people)
            query = query.where(f"person IN ({names})" if people else "false", prefilter=True)
        limit = 4 * top
        while True:
            found: list[dict[str, Hit]] = [{} for _ in probes]
            rows = query.limit(limit).to_arrow().to_pylist()
            for row in sorted(rows, key=lambda row: row["_distance"]):
                hit = Hit(row["person"], row["source"], 1.0 - row["_distance"])
                found[row.get("query_index", 0)].setdefault(hit.person, hit)
            seen = len(rows) / max(1, len(probes))
            if min(map(len, found)) >= top or seen < limit:  # enough, or there is nothing more
                return [list(hits.values())[:top] for hits in found]
            limit *= 4

    def _columns(self, names: list[str]) -> dict[str, Any]:
        rows = self._table.search().select(names).limit(max(1, len(self))).to_arrow()
        return {name: rows[name].to_pylist() for name in names}


@contextmanager
def _storage(address: str) -> Iterator[None]:
    """LanceDB's own errors, which are none of the usual kinds, as OSError."""
    try:
        yield
    except RuntimeError as error:
        if "LanceError(IO)" not in str(error):
            raise
        full = any(sign in str(error) for sign in ("No space left", "File too large", "quota exceeded"))
        why = "there is no space left" if full else str(error)
        raise OSError(
            f"The gallery {address} cannot be written: {why}. What was added before is there; mend that, then give the "
            "same command again."
        ) from error


def _normal(name: str) -> str:
    """A name in one Unicode form: file systems and keyboards differ in theirs."""
    return unicodedata.normalize("NFC", name)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
