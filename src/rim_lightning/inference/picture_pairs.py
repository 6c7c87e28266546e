"""Lists of pairs of pictures, and their answers: each picture is read and embedded once."""

from __future__ import annotations

import csv
import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from rim_lightning.data.readers.files import excerpt, read_label_text
from rim_lightning.inference.faces import SHARP, Aligned, AlignedFace, is_aligned, judged_as
from rim_lightning.inference.recognizer import SAME_PICTURE, pool
from rim_lightning.inference.verdict import DEFAULT_FAR, unsharp

if TYPE_CHECKING:
    from rim_lightning.inference.faces import Side
    from rim_lightning.inference.recognizer import Recognizer, Verification

SEPARATORS = ",;\t"
SIDES: tuple[Side, Side] = ("probe", "gallery")
"""Columns of a list that name the pictures."""

LARGEST = 128 * 2**20
"""Largest list in bytes. A row of nothing but separators then takes a gigabyte of memory."""
COLUMN_LIMIT = 100
LONGEST_PATH = 4096
"""Bytes of a path that the system takes."""

KEPT, KEPT_WITH_PIXELS = 50_000, 2_000
"""Faces that are kept for later pairs: 150 MB as embeddings; 400 MB with the pixels, if the model looks at them again.
"""


class PicturePair(NamedTuple):
    """A row of a list.

    Attributes:
        probe: The probe, as the list names it.
        gallery: The gallery picture, likewise.
        extra: Cells of the other columns.
    """

    probe: str
    gallery: str
    extra: tuple[str, ...]


class PairList(NamedTuple):
    """A list of pairs.

    Attributes:
        folder: Folder that its paths are relative to.
        extra: Names of the columns other than `probe` and `gallery`.
        pairs: At least one.
    """

    folder: Path
    extra: tuple[str, ...]
    pairs: list[PicturePair]


class PairAnswer(NamedTuple):
    """Answer for one pair.

    Attributes:
        verification: The answer; None if there is none.
        error: Why there is none, in a sentence.
        notes: What else a user should know about the two pictures.
    """

    verification: Verification | None
    error: str | None
    notes: tuple[str, ...] = ()


def read_pair_list(file: Path, reserved: Sequence[str] = ()) -> PairList:
    """Read a table with the columns `probe` and `gallery`, which name pictures. Other columns are kept.

    Args:
        file: The table, UTF-8 or UTF-16. Its columns are separated by tabs, commas or semicolons; paths are relative to
            its folder, or absolute.
        reserved: Names that no other column may have.

    Returns:
        The pairs in the order of the table. Whether the pictures exist is not checked.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is damaged or too large, lacks a column or rows, or a row names no picture.
    """
    text = read_label_text(file, "a table with the columns probe and gallery", LARGEST)
    rows = _rows(file, text)
    _, header = next(rows, (0, []))
    header = [cell.strip() for cell in header]
    _check_header(file, header, reserved)
    places = [header.index(side) for side in SIDES]
    pairs = []
    for number, row in rows:
        if len(row) != len(header):
            raise ValueError(f"{file} line {number} has {len(row)} columns where the header has {len(header)}.")
        probe, gallery = (
            _checked_path(row[place], side, file, number) for place, side in zip(places, SIDES, strict=True)
        )
        extra = tuple(cell for place, cell in enumerate(row) if place not in places)
        pairs.append(PicturePair(probe, gallery, extra))
    if not pairs:
        raise ValueError(f"{file} names no pair.")
    extra_columns = tuple(name for name in header if name not in SIDES)
    return PairList(file.parent, extra_columns, pairs)


class PairComparer:
    """Answers pairs of pictures as `Recognizer.verify` does. Each picture is read and embedded once per side.

    Args:
        recognizer: The model. It needs thresholds.
        far: False accept rate, one of `calibration.usable_fars()`.
        aligned: Side whose pictures are aligned faces already; see `Recognizer.verify`.
        size: Side of all probes in pixels, if it is known better than the pictures tell.
        explain: Turns an exception into a sentence.
        kept: Number of faces that are kept for later pairs, the last used ones. More of them are read again.

    Raises:
        ValueError: If the model has no thresholds, or none for that false accept rate.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        far: float = DEFAULT_FAR,
        aligned: Aligned = False,
        size: float | None = None,
        explain: Callable[[Exception], str] = str,
        kept: int | None = None,
    ) -> None:
        recognizer.required_calibration(pairs=True).check_far(far)
        self._recognizer, self._far, self._aligned, self._size = recognizer, far, aligned, size
        self._explain = explain
        self._with_pixels = recognizer.embedder.usage.reduced_gallery is not None
        self._most = kept if kept is not None else KEPT_WITH_PIXELS if self._with_pixels else KEPT
        self._kept: OrderedDict[tuple[Side, Path], _KeptFace | str] = OrderedDict()

    def answers(self, pairs: Sequence[tuple[Path, Path]]) -> list[PairAnswer]:
        """Answer some pairs at once. More pairs take more memory: all their pictures are held.

        Args:
            pairs: Probe and gallery picture of each.

        Returns:
            An answer for each pair. A picture that cannot be used is an error of its pairs alone.

        Raises:
            ValueError: If the model makes no embeddings.
        """
        for place, side in enumerate(SIDES):
            self._embed(list(dict.fromkeys(pair[place] for pair in pairs)), side)
        answers = [self._answer(probe, gallery) for probe, gallery in pairs]
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return answers

    def _embed(self, paths: Sequence[Path], side: Side) -> None:
        """Read and embed pictures of a side that are not kept yet."""
        faces: dict[Path, AlignedFace] = {}
        for path in paths:
            if (side, path) in self._kept:
                self._kept.move_to_end((side, path))
                continue
            try:
                (face,) = self._recognizer.align(path, is_aligned(self._aligned, side))
                (faces[path],) = judged_as([face], self._size if side == "probe" else None)
            except (OSError, ValueError) as error:
                self._kept[side, path] = self._explain(error)
        if not faces:
            return
        signals: Sequence[Tensor | None] = [None] * len(faces)
        if side == "probe":
            embeddings, of_probes = self._recognizer.embed_with_signals(list(faces.values()))
            signals = list(of_probes)
        else:
            embeddings = self._recognizer.embed_gallery(list(faces.values()))
        for (path, face), embedding, of_face in zip(faces.items(), embeddings, signals, strict=True):
            pixels = face if self._with_pixels and side == "gallery" else None
            notes = (*face.notes, *filter(None, [_judged_smaller(face)]))
            self._kept[side, path] = _KeptFace(pool(embedding[None]), face.size, notes, pixels, of_face, face.content())

    def _answer(self, probe_path: Path, gallery_path: Path) -> PairAnswer:
        """Answer a pair whose pictures are kept."""
        probe, gallery = self._kept["probe", probe_path], self._kept["gallery", gallery_path]
        if isinstance(probe, str) or isinstance(gallery, str):
            faults = dict.fromkeys(fault for fault in (probe, gallery) if isinstance(fault, str))
            return PairAnswer(None, " ".join(faults))
        warning = unsharp(gallery.size, SHARP * self._recognizer.rim.hr_size)
        notes = (
            *(f"the probe {note}" for note in probe.notes),
            *(f"the gallery picture {note}" for note in gallery.notes),
            *([] if warning is None else [warning]),
        )
        faces = [] if gallery.face is None else [gallery.face]
        try:
            similarity = self._recognizer.similarity(probe.embedding, gallery.embedding, probe.size, faces)
            signals = None if probe.signals is None else probe.signals[None]
            answer = self._recognizer.judge(similarity, [probe.size], [gallery.size], self._far, signals)
        except ValueError as error:  # there is no threshold for such a size
            return PairAnswer(None, self._explain(error), notes)
        if probe.content == gallery.content:
            answer = answer._replace(beyond=(*answer.beyond, SAME_PICTURE))
        return PairAnswer(answer, None, (*answer.cautions(), *notes))


class _KeptFace(NamedTuple):
    """A face that was embedded: embedding (E,), side in pixels, notes, and the face itself if it is looked at again.

    The signals of its quality, (K,), are those of a probe. The content is a digest of its pixels.
    """

    embedding: Tensor
    size: float
    notes: tuple[str, ...]
    face: AlignedFace | None
    signals: Tensor | None
    content: bytes


def _judged_smaller(face: AlignedFace) -> str | None:
    """Return a note about a picture that somebody enlarged."""
    if face.side is None:
        return None
    return f"has {face.side:.0f} px, but no more detail than one of about {face.size:.0f} px, as which it is judged"


def _rows(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its last line, while they are read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"{file} is no table (line {reader.line_num}: {error}); expected columns separated by tabs, commas or "
            "semicolons."
        ) from None


def _separator(text: str) -> str:
    """Return what separates the columns: that with which the first line names probe and gallery, or the most frequent.

    A column that is passed on may have others in its name.
    """
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    for separator in SEPARATORS:
        with suppress(csv.Error):
            if set(SIDES) <= {cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])}:
                return separator
    return max(SEPARATORS, key=first.count)


def _check_header(file: Path, header: Sequence[str], reserved: Sequence[str]) -> None:
    """Raise ValueError if the columns of a list are not those that are needed."""
    if len(header) > COLUMN_LIMIT:
        raise ValueError(f"{file} has {len(header)} columns: leave at most {COLUMN_LIMIT}, probe and gallery first.")
    if not set(SIDES) <= set(header):
        first = excerpt(", ".join(header)) or "nothing"
        raise ValueError(f"{file} has no columns 'probe' and 'gallery'; its first line has {first}.")
    for name in header:
        if header.count(name) > 1:
            raise ValueError(f"{file} has two columns '{excerpt(name)}': keep one, or give them other names.")
        if not name or name in reserved:
            raise ValueError(
                f"{file} has a column '{excerpt(name)}', whose name the answers need: give it another one."
                if name
                else f"{file} has a column without a name: give it one."
            )


def _checked_path(cell: str, side: Side, file: Path, number: int) -> str:
    """Return the path in a cell; raise ValueError if it can be none."""
    path = cell.strip()
    if not path:
        raise ValueError(f"{file} line {number} names no {side} picture: fill the cell, or remove the line.")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"{file} line {number} has {excerpt(path)} as {side}, which is too long for a path.")
    return path
