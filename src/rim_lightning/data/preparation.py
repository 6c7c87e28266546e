"""Preparation of a data set: decode, find the face, align, and store, once."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.alignment import align, center_square_matrix, similarity_from_points, template
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import MANIFEST, PreparedStore, stored_side
from rim_lightning.data.stores.writer import Sample, StoreWriter, one_writer
from rim_lightning.data.workers import worker_pool
from rim_lightning.schemes import FIVE, five_points

Alignment = Literal["five", "none"]


Landmarks = Literal["auto", "detect"]

BLOCK = 16  # records a worker takes at a time; fixed, so that the batches of the detector never depend on the workers


class _Settings(NamedTuple):
    """What a worker process has to know."""

    hr_size: int
    margin: int
    alignment: Alignment
    landmarks: Landmarks


class _Decoded(NamedTuple):
    image: NDArray[np.uint8]
    file_hash: str


def prepare(
    records: Sequence[Record],
    output: str | PathLike[str],
    *,
    name: str,
    hr_size: int = 128,
    margin: float = 0.125,
    alignment: Alignment = "five",
    landmarks: Landmarks = "auto",
    workers: int = 2,
    progress: bool = True,
) -> PreparedStore:
    """Prepare a data set, or return the store an earlier call has made with the same settings and records.

    A run that was killed resumes where it stopped. An image that cannot be used (missing, empty, truncated, no image,
    no face in it) is left out and listed with the reason in the manifest's `skipped`; it never ends the run. The bytes
    of the store depend on the records and settings alone, not on the number of workers or of interruptions.

    Args:
        records: what a reader returned.
        output: directory of the store.
        name: name of the data set, for reports.
        hr_size: side of the aligned face in pixels.
        margin: width of the frame of true pixels around it, as a share of `hr_size`.
        alignment: "five" warps the five points to the standard template; "none" scales the center square of the whole
            image to the stored image.
        landmarks: "auto" takes the five points from the annotation and runs the detector where there are none;
            "detect" runs it on every image, for unlabeled use or to measure what detection costs, and replaces the
            annotated five points by those it found.
        workers: number of processes; 0 works in this one.
        progress: whether to show a progress bar.

    Raises:
        ValueError: where a setting is out of range, two records have one name, no image could be prepared, or `output`
            holds something else, or a store made from other records or settings.
        ImportError: where a detector is needed and facenet-pytorch is not installed.
    """
    settings = _checked_settings(hr_size, margin, alignment, landmarks)
    header = {
        "name": name,
        "hr_size": hr_size,
        "margin": margin,
        "stored_size": stored_side(hr_size, margin),
        "alignment": alignment,
        "landmarks": landmarks,
        "inputs": _inputs_digest(records),
    }
    if (Path(output) / MANIFEST).is_file():
        return _existing(PreparedStore(output), header, records)
    with one_writer(output):
        if (Path(output) / MANIFEST).is_file():
            return _existing(PreparedStore(output), header, records)
        return _made(records, output, header, settings, workers, name if progress else None)


def _made(
    records: Sequence[Record],
    output: str | PathLike[str],
    header: dict[str, Any],
    settings: _Settings,
    workers: int,
    title: str | None,
) -> PreparedStore:
    if Path(output).exists() and (not Path(output).is_dir() or any(Path(output).iterdir())):
        raise ValueError(f"{output} exists and is no prepared data set; choose another output.")
    schemes = {scheme for record in records for scheme in record.landmarks}
    if any(_needs_detection(record, settings) for record in records):
        schemes.add(FIVE.name)
    writer = StoreWriter(
        output,
        header,
        [record.name for record in records],
        [record.identity for record in records],
        [record.split for record in records],
        schemes,
        any(record.load_parsing is not None for record in records),
    )
    try:
        _fill(writer, records, settings, workers, title)
        return writer.finish()
    finally:
        writer.close()


def _checked_settings(hr_size: int, margin: float, alignment: str, landmarks: str) -> _Settings:
    if hr_size < 16:
        raise ValueError(f"hr_size is {hr_size}; the aligned face needs at least 16 pixels.")
    if not 0 <= margin <= 1:
        raise ValueError(f"margin is {margin}; it is a share of hr_size between 0 and 1.")
    if alignment not in ("five", "none"):
        raise ValueError(f"alignment is '{alignment}'; choose 'five' or 'none'.")
    if landmarks not in ("auto", "detect"):
        raise ValueError(f"landmarks is '{landmarks}'; choose 'auto' or 'detect'.")
    return _Settings(hr_size, (stored_side(hr_size, margin) - hr_size) // 2, alignment, landmarks)


def _existing(store: PreparedStore, header: dict, records: Sequence[Record]) -> PreparedStore:
    """The store, if these records and settings made it."""
    for key, value in header.items():
        made = store.manifest.get(key)
        if made != value and key != "inputs":
            raise ValueError(
                f"{store.path} was prepared with {key}={made}, not {value}; delete it or choose another output."
            )
    wanted = {record.name: (record.identity, record.split) for record in records}
    skipped = {entry["name"] for entry in store.manifest["skipped"]}
    stored = {entry["name"]: (entry["identity"], entry["split"]) for entry in store.manifest["samples"]}
    changed = store.manifest.get("inputs") != header["inputs"]
    if changed or stored != {k: v for k, v in wanted.items() if k not in skipped} or not skipped <= set(wanted):
        raise ValueError(
            f"{store.path} was prepared from other images, landmarks or splits; delete it or choose another output."
        )
    return store


def _inputs_digest(records: Sequence[Record]) -> str:
    """Hash of what can be known of the records without decoding: names, file sizes, points, parsing or not."""
    digest = hashlib.sha256()
    for record in records:
        size = record.image.stat().st_size if record.image.is_file() else None
        digest.update(repr((record.name, size, record.load_parsing is not None)).encode())
        for scheme, points in sorted(record.landmarks.items()):
            digest.update(scheme.encode() + np.ascontiguousarray(points, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _needs_detection(record: Record, settings: _Settings) -> bool:
    if settings.alignment == "none":
        return False
    return settings.landmarks == "detect" or five_points(record.landmarks) is None


def _fill(writer: StoreWriter, records: Sequence[Record], settings: _Settings, workers: int, bar: str | None) -> None:
    """Prepare what is pending and hand it to the writer, in order; `bar` names the progress bar, if there is one."""
    from tqdm import tqdm

    # Whole blocks, also where only some of their records are pending: the detector sees the same batches in every run.
    starts = sorted({index - index % BLOCK for index in writer.pending()})
    blocks = [records[start : start + BLOCK] for start in starts]
    with tqdm(desc=bar, total=len(records), initial=len(writer.done), unit="image", disable=bar is None) as progress:
        for start, results in zip(starts, _results(blocks, settings, workers), strict=True):
            for index, result in enumerate(results, start=start):
                if index in writer.done:
                    continue
                if isinstance(result, str):
                    writer.skip(index, result)
                else:
                    writer.write(index, result)
                progress.update()


def _results(blocks: Sequence[Sequence[Record]], settings: _Settings, workers: int) -> Iterator[list[Sample | str]]:
    if workers == 0:
        yield from map(partial(_prepare_block, settings=settings), blocks)
        return
    with worker_pool(workers) as pool:
        try:
            yield from pool.map(partial(_prepare_block, settings=settings), blocks)
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_block(records: Sequence[Record], settings: _Settings) -> list[Sample | str]:
    """A sample per record, or the reason why there is none."""
    decoded = [_decode(record) for record in records]
    unlocated = [
        i
        for i, (record, image) in enumerate(zip(records, decoded, strict=True))
        if isinstance(image, _Decoded) and _needs_detection(record, settings)
    ]
    detected: dict[int, NDArray | None] = {}
    if unlocated:
        from rim_lightning.data.detection import detect_faces

        detected = dict(zip(unlocated, detect_faces([decoded[i].image for i in unlocated]), strict=True))
    return [
        image if isinstance(image, str) else _finish(record, image, settings, detected.get(i), i in detected)
        for i, (record, image) in enumerate(zip(records, decoded, strict=True))
    ]


def _decode(record: Record) -> _Decoded | str:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        content = record.image.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not content:
        return "is empty"
    try:
        with Image.open(io.BytesIO(content)) as picture:
            # Annotations count pixels as the file stores them, so only images without any are turned upright.
            if not record.landmarks and record.load_parsing is None:
                picture = ImageOps.exif_transpose(picture)
            image = np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        return "is no image"  # its message holds a memory address, which would differ between runs
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        return f"is no complete image ({type(error).__name__}: {_one_line(error)})"
    return _Decoded(image, hashlib.sha256(content).hexdigest())


def _finish(
    record: Record, decoded: _Decoded, settings: _Settings, found: NDArray | None, searched: bool
) -> Sample | str:
    side = settings.hr_size + 2 * settings.margin
    landmarks = dict(record.landmarks)
    if searched:
        if found is None:
            return "no face found"
        landmarks[FIVE.name] = found
    try:
        if settings.alignment == "none":
            matrix = center_square_matrix(*decoded.image.shape[:2], side)
        else:
            matrix = similarity_from_points(five_points(landmarks), template(settings.hr_size, settings.margin))
        parsing = record.load_parsing() if record.load_parsing is not None else None
        image, landmarks, parsing = align(decoded.image, matrix, side, landmarks, parsing)
    except Exception as error:  # as above: a damaged mask raises whatever its decoder runs into
        return f"has unusable labels ({_one_line(error)})"
    return Sample(image, landmarks, parsing, decoded.file_hash, detected=searched)


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
