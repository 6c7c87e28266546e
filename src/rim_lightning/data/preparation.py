"""Preparation of a data set: every image is decoded, its face found and aligned, and stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.alignment import align, center_square_matrix, similarity_from_points, template
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DETECTORS, DetectorName, checked_detector
from rim_lightning.data.images import ImageError, has_plain_pixels, picture_header, read_image
from rim_lightning.data.landmark_check import differ, landmark_fault, mask_fault
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import MANIFEST, SPLITS, PreparedStore, hash_by_name, stored_side
from rim_lightning.data.stores.writer import Sample, StoreWriter, one_writer
from rim_lightning.data.workers import worker_pool
from rim_lightning.files import content_digest, in_threads
from rim_lightning.runs.progress import progress_bar
from rim_lightning.schemes import FIVE, five_points

if TYPE_CHECKING:
    from rim_lightning.data.detection import CentralFace

Alignment = Literal["five", "none"]
Landmarks = Literal["auto", "detect"]

BLOCK = 16  # records that a worker takes at a time; fixed, so that the batches of the detector never depend on workers
JPEG_SUFFIXES = (".jpg", ".jpeg")

DECODER_VERSION = 2
"""Version of the pixels of images that are not plain (see `has_plain_pixels`); increase it when they change.

Version 1 dropped transparency and clipped 16 bits to 8; version 2 reads images as `read_image` does. The version is
part of the digest of such images alone: a store without any of them stays valid.
"""


class _Settings(NamedTuple):
    """Settings that a worker process needs. `margin` is in pixels."""

    hr_size: int
    margin: int
    alignment: Alignment
    landmarks: Landmarks
    detector: DetectorName


class _DecodedImage(NamedTuple):
    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
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
    detector: DetectorName | None = None,
    workers: int = 2,
    progress: bool = True,
) -> PreparedStore:
    """Prepare a data set, or return the store that an earlier call made with the same settings and records.

    A run that was killed resumes where it stopped. An image that cannot be used (missing, empty, truncated, no image,
    no face in it) is skipped and listed with the reason in the manifest's `skipped`; it never ends the run. The bytes
    of the store depend on the records and settings alone, not on the number of workers or of interruptions.

    Args:
        records: Images and labels that a reader returned.
        output: Directory of the store.
        name: Name of the data set, for reports.
        hr_size: Side of the aligned face in pixels, ≥ 16.
        margin: Width of the frame of true pixels around the face, as a share of `hr_size`.
        alignment: "five" warps the five points to the standard template. "none" scales the center square of the whole
            image to the stored image.
        landmarks: "auto" takes the five points from the annotation and runs the detector where there are none.
            "detect" runs the detector on every image and replaces annotated five points: for unlabeled use, or to
            measure what detection costs.
        detector: Finds faces: "yunet", or "mtcnn" if facenet-pytorch is installed. None takes the default, and accepts
            a finished store of either.
        workers: Number of processes; 0 works in this one.
        progress: Show a progress bar.

    Returns:
        The finished store.

    Raises:
        ValueError: If a setting is out of range, two records have one name, no image could be prepared, or `output`
            holds no store, or one made from other records or settings.
        MissingExtra: If a detector is needed and its packages are not installed.
    """
    settings = checked_settings(hr_size, margin, alignment, landmarks, detector or DEFAULT_DETECTOR, workers)
    wrong = next((record for record in records if record.split not in SPLITS), None)
    if wrong is not None:
        raise ValueError(f"{wrong.name} is in the split '{wrong.split}'; choose one of {', '.join(SPLITS)}.")
    header = _header(records, name, margin, settings)
    expected = header if detector is not None else {key: value for key, value in header.items() if key != "detector"}
    if (Path(output) / MANIFEST).is_file():
        return _checked_store(PreparedStore(output), expected, records)
    _refuse_wrong_landmarks(records, settings, name)
    with one_writer(output):
        if (Path(output) / MANIFEST).is_file():
            return _checked_store(PreparedStore(output), expected, records)
        return _prepared_store(records, output, header, settings, workers, name if progress else None)


def _header(records: Sequence[Record], name: str, margin: float, settings: _Settings) -> dict[str, Any]:
    """Return what identifies a store. The detector is a part of it only where faces are detected."""
    header = {
        "name": name,
        "hr_size": settings.hr_size,
        "margin": margin,
        "stored_size": stored_side(settings.hr_size, margin),
        "alignment": settings.alignment,
        "landmarks": settings.landmarks,
        "inputs": _inputs_digest(records),
    }
    if any(_needs_detection(record, settings) for record in records):
        header["detector"] = checked_detector(settings.detector)
    return header


def _prepared_store(
    records: Sequence[Record],
    output: str | PathLike[str],
    header: dict[str, Any],
    settings: _Settings,
    workers: int,
    title: str | None,
) -> PreparedStore:
    if Path(output).exists() and (not Path(output).is_dir() or any(Path(output).iterdir())):
        raise ValueError(f"{output} exists and is not a prepared data set; choose another output.")
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


def checked_settings(
    hr_size: int, margin: float, alignment: Alignment, landmarks: Landmarks, detector: DetectorName, workers: int
) -> _Settings:
    """Check the settings of `prepare`, before a data set is listed.

    Returns:
        What a worker process needs of them.

    Raises:
        ValueError: If one is of the wrong kind or out of range.
    """
    if not isinstance(hr_size, int):
        raise ValueError(f"hr_size is {hr_size}; it must be a whole number of pixels.")
    if hr_size < 16:
        raise ValueError(f"hr_size is {hr_size}; it must be at least 16 pixels.")
    if not isinstance(margin, int | float) or not 0 <= margin <= 1:
        raise ValueError(f"margin is {margin}; it must be a share of hr_size between 0 and 1.")
    if not isinstance(workers, int) or workers < 0:
        raise ValueError(f"workers is {workers}; it must be a number of processes, or 0 to work in this one.")
    if alignment not in ("five", "none"):
        raise ValueError(f"alignment is '{alignment}'; choose 'five' or 'none'.")
    if landmarks not in ("auto", "detect"):
        raise ValueError(f"landmarks is '{landmarks}'; choose 'auto' or 'detect'.")
    if detector not in DETECTORS:
        raise ValueError(f"detector is '{detector}'; choose {' or '.join(DETECTORS)}.")
    return _Settings(hr_size, (stored_side(hr_size, margin) - hr_size) // 2, alignment, landmarks, detector)


def _checked_store(store: PreparedStore, header: dict[str, Any], records: Sequence[Record]) -> PreparedStore:
    """Return the store if these records and settings made it; raise ValueError otherwise."""
    for key, value in header.items():
        earlier = store.manifest.get(key, "mtcnn" if key == "detector" else None)  # the only one of version 0.1
        if earlier != value and key != "inputs":
            raise ValueError(
                f"{store.path} was prepared with {key}={earlier}, not {value}; delete it or choose another output."
            )
    requested = {record.name: (record.identity, record.split) for record in records}
    skipped = {entry["name"] for entry in store.manifest["skipped"]}
    samples = {entry["name"]: (entry["identity"], entry["split"]) for entry in store.manifest["samples"]}
    expected = {name: labels for name, labels in requested.items() if name not in skipped}
    same_inputs = store.manifest.get("inputs") == header["inputs"]
    if not same_inputs or samples != expected or not skipped <= set(requested):
        raise ValueError(
            f"{store.path} was prepared from other images, landmarks or splits, or by a version that read transparent "
            "or 16-bit images differently or took landmarks that fit no face; delete it or choose another output."
        )
    if not _has_the_same_content(store, records):
        raise ValueError(
            f"Images that {store.path} was prepared from have been replaced by others of the same size; delete it or "
            "choose another output."
        )
    return store


def _has_the_same_content(store: PreparedStore, records: Sequence[Record]) -> bool:
    """Compare the digests of the images with those of a store. Names and sizes would not show every replacement."""
    record_of = {record.name: record for record in records}
    digests = in_threads(_content_digest, [record_of[name] for name in store.names])
    digest_of = dict(zip(store.names, digests, strict=True))
    return hash_by_name(digest_of) == store.manifest["source_hash"]


def _content_digest(record: Record) -> str:
    """Return the SHA-256 of the encoded picture of a record."""
    return content_digest(record.image) if record.load_content is None else hashlib.sha256(record.content()).hexdigest()


def _inputs_digest(records: Sequence[Record]) -> str:
    """Hash of the records as far as they are known without decoding: names, file sizes, points, parsing or not.

    An image whose pixels depend on the decoder's decisions adds the decoder's version. JPEG files have none of these
    and are not opened, so that a store of photographs is checked as fast as its files are listed. Landmarks that do not
    fit a face add that they are refused.
    """
    digest = hashlib.sha256()
    for record in records:
        size = record.image.stat().st_size if record.image.is_file() else None
        digest.update(repr((record.name, size, record.load_parsing is not None)).encode())
        alone = record.load_content is None and record.image.suffix.lower() not in JPEG_SUFFIXES
        if size and alone and not has_plain_pixels(record.image):
            digest.update(f"decoder {DECODER_VERSION}".encode())
        if landmark_fault(record.landmarks) is not None:  # an earlier version stored the face
            digest.update(b"landmarks checked")
        for scheme, points in sorted(record.landmarks.items()):
            digest.update(scheme.encode() + np.ascontiguousarray(points, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _refuse_wrong_landmarks(records: Sequence[Record], settings: _Settings, name: str) -> None:
    """Raise ValueError if no record can be used because of its landmarks, before anything is decoded.

    The first usable record ends the check, so that a good data set does not wait for it.
    """
    faults = []
    for record in records:
        try:
            header = picture_header(record.content())
        except Exception:  # a damaged header makes Pillow's decoders raise errors of any kind
            return
        fault = landmark_fault(_kept_landmarks(record, settings), header)
        if fault is None:
            return
        faults.append(fault)
    if faults:
        kinds = {fault.partition(" (")[0] for fault in faults}
        others = "" if len(kinds) == 1 else f", and {len(kinds) - 1} other faults"
        raise ValueError(
            f"None of the {len(records)} pictures of {name} can be used: {records[0].name} {faults[0]}{others}."
        )


def _kept_landmarks(record: Record, settings: _Settings) -> dict[str, NDArray[np.float64]]:
    """Return the landmarks of a record that the detector does not replace."""
    replaced = FIVE.name if _needs_detection(record, settings) else None
    return {scheme: points for scheme, points in record.landmarks.items() if scheme != replaced}


def _needs_detection(record: Record, settings: _Settings) -> bool:
    if settings.alignment == "none":
        return False
    return settings.landmarks == "detect" or five_points(record.landmarks) is None


def _fill(writer: StoreWriter, records: Sequence[Record], settings: _Settings, workers: int, title: str | None) -> None:
    """Prepare the pending records and hand them to the writer, in order. Without a title no progress bar is shown."""
    # Whole blocks, also where only some of their records are pending: the detector sees the same batches in every run.
    starts = sorted({index - index % BLOCK for index in writer.pending()})
    blocks = [records[start : start + BLOCK] for start in starts]
    with progress_bar(
        desc=title, total=len(records), initial=len(writer.done), unit="image", shown=title is not None
    ) as bar:
        for start, results in zip(starts, _results(blocks, settings, workers), strict=True):
            for index, result in enumerate(results, start=start):
                if index in writer.done:
                    continue
                if isinstance(result, str):
                    writer.skip(index, result)
                else:
                    writer.write(index, result)
                bar.update()


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
    """Return a sample for each record, or the reason why there is none."""
    images = [_decode(record, settings) for record in records]
    to_detect = {
        index: image.pixels
        for index, (record, image) in enumerate(zip(records, images, strict=True))
        if isinstance(image, _DecodedImage) and _needs_detection(record, settings)
    }
    detections: dict[int, CentralFace | None] = {}
    if to_detect:
        from rim_lightning.data.detection import find_central_faces

        detections = dict(zip(to_detect, find_central_faces(list(to_detect.values()), settings.detector), strict=True))
    results: list[Sample | str] = []
    for index, (record, image) in enumerate(zip(records, images, strict=True)):
        if isinstance(image, str):
            results.append(image)
        elif index in detections and detections[index] is None:
            results.append("no face found")
        else:
            results.append(_aligned_sample(record, image, settings, detections.get(index)))
    return results


def _decode(record: Record, settings: _Settings) -> _DecodedImage | str:
    """Decode the image of a record, or return the reason why it or its landmarks cannot be used."""
    try:
        content = record.content()
    except FileNotFoundError:
        return "cannot be read (No such file or directory)"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ImageError as error:
        return _reason(error, record)
    # Annotations count pixels as the file stores them, so only images without any are turned upright.
    annotated = bool(record.landmarks) or record.load_parsing is not None
    try:
        pixels = read_image(content, name=record.name, upright=not annotated)
    except ImageError as error:
        return _reason(error, record)
    if annotated and (fault := landmark_fault(_kept_landmarks(record, settings), picture_header(content))):
        return fault
    return _DecodedImage(pixels, hashlib.sha256(content).hexdigest())


def _reason(error: ImageError, record: Record) -> str:
    return str(error).removeprefix(f"{record.name} ").rstrip(".")


def _aligned_sample(
    record: Record, image: _DecodedImage, settings: _Settings, detected: CentralFace | None
) -> Sample | str:
    side = settings.hr_size + 2 * settings.margin
    landmarks = dict(record.landmarks)
    if detected is not None:
        annotated = five_points(_kept_landmarks(record, settings))
        if annotated is not None and differ(annotated, detected.face.points):
            return "has landmarks of another face than the detected one: cut out the part with the face"
        landmarks[FIVE.name] = detected.face.points
    try:
        if settings.alignment == "none":
            height, width = image.pixels.shape[:2]
            matrix = center_square_matrix(height, width, side)
        else:
            five = five_points(landmarks)
            if five is None:  # an annotation without five points went to the detector
                raise ValueError("the detected points are not finite")
            matrix = similarity_from_points(five, template(settings.hr_size, settings.margin))
        parsing = record.load_parsing() if record.load_parsing is not None else None
        if parsing is not None and parsing.shape == image.pixels.shape[:2]:
            five = five_points(landmarks)
            if five is not None and (fault := mask_fault(five, parsing)):
                return fault
        pixels, points, parsing = align(image.pixels, matrix, side, landmarks, parsing)
    except Exception as error:  # a damaged mask makes its decoder raise errors of any kind
        first_line = str(error).strip().split("\n")[0].rstrip(".")
        return f"has unusable labels ({first_line})"
    if detected is None:
        return Sample(pixels, points, parsing, image.file_hash)
    return Sample(pixels, points, parsing, image.file_hash, True, detected.faces, detected.face.turned)
