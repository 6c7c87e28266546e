"""Embeddings that any system wrote into a file: `.npz`, `.npy` or Parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.data.readers.files import excerpt, read_rows, require_file
from rim_lightning.extras import require_extra
from rim_lightning.files import open_regular

MOST_BYTES = 8 * 2**30
"""Most bytes of a file of embeddings."""

LENGTHS = (1e-10, 1e15)
"""Lengths of embeddings whose cosines float32 can hold."""


class EmbeddedFaces(NamedTuple):
    """Embeddings of N pictures.

    Attributes:
        names: Names of the pictures, unique.
        people: Person of each picture; empty if the people are unknown.
        embeddings: (N, E) float32, finite and not 0, of any length.
        file: Where they come from, for messages.
    """

    names: Sequence[str]
    people: Sequence[str]
    embeddings: Tensor
    file: Path

    def rows(self, names: Sequence[str], where: str) -> Tensor:
        """Return the positions of pictures.

        Args:
            names: Names of pictures.
            where: What names them, for the message.

        Raises:
            ValueError: If a picture has no embedding.
        """
        place = {name: number for number, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise ValueError(
                f"{where} names {excerpt(missing[0])}, the first of {len(set(missing))} pictures that have no "
                f"embedding in {self.file}: embed them, or use the same names."
            )
        return torch.tensor([place[name] for name in names])


def read_embeddings(file: Path, pictures: Path | None = None) -> EmbeddedFaces:
    """Read embeddings.

    `.npz` has the arrays `embeddings` (N, E), `names` (N,) and perhaps `people` (N,). `.npy` has (N, E) alone; its rows
    are named by a table, or `000000.jpg` and so on. Parquet has the columns `name` (or `source`), `embedding` and
    perhaps `person`; so has a folder of rim-embed. Nothing is unpickled.

    Args:
        file: The file, or the folder of rim-embed.
        pictures: Table with the columns `name` and perhaps `person`, a row for each embedding, in their order.

    Raises:
        FileNotFoundError: If there is no such file.
        MissingExtra: If a Parquet file is given and pyarrow is not installed.
        ValueError: If it is damaged, something is missing, two pictures have one name, or a number is not finite.
    """
    names: Sequence[str] | None
    if file.is_dir() or file.suffix.lower() == ".parquet":
        names, people, values = _read_parquet(file)
    else:
        names, people, values = _read_arrays(require_file(file, "embeddings"))
    if pictures is not None:
        names, people = _read_pictures(pictures)
    if values.ndim != 2 or not len(values) or values.dtype.kind not in "fiu":
        raise ValueError(f"{file} holds an array {values.shape} of {values.dtype}; expected numbers (N, length).")
    if names is None:
        names = [f"{number:06d}.jpg" for number in range(len(values))]
    if len(names) != len(values) or (people and len(people) != len(values)):
        raise ValueError(f"{pictures or file} names {len(names)} pictures, {file} has {len(values)} embeddings.")
    if len(set(names)) < len(names):
        raise ValueError(f"{pictures or file} names two pictures alike: names must be unique.")
    with np.errstate(over="ignore"):  # it is refused below
        embeddings = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    length = torch.linalg.vector_norm(embeddings, dim=1)
    wrong = (~((length >= LENGTHS[0]) & (length <= LENGTHS[1]))).nonzero().flatten()
    if len(wrong):
        raise ValueError(
            f"{file}: the embedding of {excerpt(names[int(wrong[0])])} is not finite, or its length is 0 or beyond "
            f"{LENGTHS[0]:g} to {LENGTHS[1]:g}: scale it, or leave it out."
        )
    return EmbeddedFaces(names, people, embeddings, file)


def _read_arrays(file: Path) -> tuple[list[str] | None, list[str], NDArray[Any]]:
    try:
        with open_regular(file) as stream:
            if stream.seek(0, 2) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 30} GB")
            stream.seek(0)
            content = np.load(stream, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return None, [], content
            with content:
                size = sum(entry.file_size for entry in content.zip.infolist())
                if size > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES >> 30} GB")
                parts = {name: content[name] for name in ("embeddings", "names", "people") if name in content.files}
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror or error}): give .npz or .npy.") from None
    except Exception as error:  # numpy, zipfile and zlib raise errors of any kind on damaged bytes
        reason = str(error).strip().split("\n")[0].rstrip(".")[:80]
        raise ValueError(f"{file} is no whole .npz or .npy file ({reason}): write it anew.") from None
    missing = [name for name in ("embeddings", "names") if name not in parts]
    if missing or any(parts[name].ndim != 1 or parts[name].dtype.kind != "U" for name in parts if name != "embeddings"):
        fault = f"no array '{missing[0]}'" if missing else "names or people that are no texts (N,)"
        raise ValueError(f"{file} has {fault}; expected embeddings (N, E), names (N,) and perhaps people (N,).")
    return parts["names"].tolist(), parts["people"].tolist() if "people" in parts else [], parts["embeddings"]


def _read_parquet(file: Path) -> tuple[list[str], list[str], NDArray[Any]]:
    require_extra("packed", "A Parquet file")
    import pyarrow as pa

    files = sorted(file.glob("embeddings_*.parquet")) if file.is_dir() else [require_file(file, "embeddings")]
    if not files:
        raise ValueError(
            f"{file} holds neither embeddings_*.parquet nor card.json: give a folder of rim-embed, a model folder, "
            "or a file."
        )
    names: list[str] = []
    people: list[str | None] = []
    rows: list[NDArray[Any]] = []
    for part in files:
        content = _parquet_columns(part)
        table = content.filter(content.column("embedding").is_valid())
        try:
            column = table.column("embedding").combine_chunks()
            values = column.flatten().to_numpy(zero_copy_only=False)
            rows.append(values.reshape(len(table), -1) if len(table) else values.reshape(0, 0))
            uneven = len(set(column.value_lengths().to_pylist())) > 1
            texts = table.column(0).to_pylist()
            names += [text.decode() if isinstance(text, bytes) else str(text) for text in texts]
        except (pa.ArrowException, AttributeError, ValueError):
            uneven = True
        if uneven:
            raise ValueError(f"{part} holds embeddings of several lengths, or names that are no texts.")
        people += table.column("person").to_pylist() if "person" in table.column_names else [None] * len(table)
    rows = [part for part in rows if len(part)] or [np.zeros((0, 0))]
    if len({part.shape[1] for part in rows}) > 1:
        raise ValueError(f"{file} holds embeddings of several lengths.")
    known = [str(person) for person in people if person is not None]
    return names, known if len(known) == len(names) else [], np.concatenate(rows)


def _parquet_columns(part: Path) -> Any:
    """Read the columns of names, embeddings and perhaps people of a Parquet file, as a table of pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(part) as stream:
            table = pq.ParquetFile(stream)
            columns = table.schema_arrow.names
            name = "name" if "name" in columns else "source"
            missing = [column for column in (name, "embedding") if column not in columns]
            wanted = [name, "embedding", *(["person"] if "person" in columns else [])]
            content = None if missing else table.read(columns=wanted).select(wanted)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")[:80]
        raise ValueError(f"{part} is no whole Parquet file ({reason}): write it anew.") from None
    if content is None:
        raise ValueError(f"{part} has no column '{missing[0]}'; it has {', '.join(columns)[:200]}.")
    return content


def _read_pictures(file: Path) -> tuple[list[str], list[str]]:
    header, rows = read_rows(file, "a table with the columns name and person")
    if "name" not in header:
        raise ValueError(f"{file} has no column 'name'; its first line has {excerpt(', '.join(header))}.")
    columns = [header.index(column) for column in ("name", "person") if column in header]
    cells = [[row[column].strip() for column in columns] for _, row in rows]
    return [row[0] for row in cells], [row[1] for row in cells] if len(columns) == 2 else []
