"""Synthetic faces: people who do not exist, with exact landmarks and parsing, for demos and tests without any data set."""

from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from rim_lightning.data.stores.prepared import PreparedStore, stored_side
from rim_lightning.data.stores.writer import Sample, StoreWriter, one_writer
from rim_lightning.data.synthetic.paint import HairShape, Painter, parse
from rim_lightning.data.synthetic.shape import (
    Projection,
    five_of,
    flat_curves,
    helen194_of,
    ibug68_of,
    sample_person,
    sample_view,
)
from rim_lightning.data.workers import worker_pool

SYNTHESIS_VERSION = 2  # counted up when the same seeds give another picture: stores drawn before are then drawn again


def paint_face(
    identity_seed: int, view_seed: int, size: int, margin: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Picture `view_seed` of person `identity_seed`, aligned as a prepared face is; a function of its arguments alone.

    Args:
        identity_seed: who: shape of the face, colors, hair, beard, glasses, moles.
        view_seed: how: turn of the head, expression, light, background, and a small error of alignment.
        size: side of the aligned face in pixels; its five points lie near the 112 template scaled to it.
        margin: pixels drawn around it.

    Returns:
        With S = size + 2 * margin: image (S, S, 3) uint8 RGB; landmarks ibug68 (68, 2), helen194 (194, 2) and five
        (5, 2) float32 in pixels of that image; parsing (S, S) uint8, Helen-11 (neck, ears, clothes are background;
        skin and eyes behind glasses keep their class).
    """
    person = sample_person(identity_seed)
    view = sample_view(view_seed, identity_seed)
    flat = flat_curves(person, view)
    project = Projection(person, view, five_of(flat), size, margin)
    lifted = {"jaw": 0.1, "forehead": 0.1}
    curves = {name: project(curve, lifted.get(name)) for name, curve in flat.items()}
    side = size + 2 * margin

    hair = HairShape(person, project)
    parsing = parse(curves, hair, side)
    image = Painter(person, view, project, curves, hair, side).paint()
    five, ibug68, helen194 = (points(curves).astype(np.float32) for points in (five_of, ibug68_of, helen194_of))
    return image, ibug68, helen194, five, parsing


def synthetic_store(
    directory: str | Path,
    people: int,
    views: int,
    hr_size: int,
    margin: float,
    seed: int,
    splits: Mapping[str, float],
    workers: int,
) -> PreparedStore:
    """Draw a data set and store it as a prepared one, or open the store an earlier call has drawn with these arguments.

    Args:
        directory: directory of the store.
        people: number of people; nobody is in two splits.
        views: pictures of each.
        hr_size: side of the aligned face in pixels.
        margin: width of the frame around it as a share of `hr_size`.
        seed: another seed, other people.
        splits: "train", "val", "test" -> share of the people, any positive scale.
        workers: processes; 0 draws in this one. The pixels do not depend on it.

    Raises:
        ValueError: a split would be empty, or the directory holds another store.
    """
    header = {
        "name": "synthetic",
        "hr_size": hr_size,
        "margin": margin,
        "stored_size": stored_side(hr_size, margin),
        "alignment": "five",
        "landmarks": "synthetic",
        "synthesis_version": SYNTHESIS_VERSION,
        "seed": seed,
        "people": people,
        "views": views,
        "splits": dict(splits),
    }
    if Path(directory).is_dir():
        return _existing(directory, header)
    with one_writer(directory):
        return _existing(directory, header) if Path(directory).is_dir() else _made(directory, header, workers)


def _existing(directory: str | PathLike[str], header: dict[str, Any]) -> PreparedStore:
    store = PreparedStore(directory)
    if any(store.manifest.get(key) != value for key, value in header.items()):
        raise ValueError(f"{directory} holds other faces than these; delete it or choose another directory.")
    return store


def _made(directory: str | PathLike[str], header: dict[str, Any], workers: int) -> PreparedStore:
    people, views, splits, hr_size = (header[name] for name in ("people", "views", "splits", "hr_size"))
    ends = np.round(np.cumsum(list(splits.values())) / sum(splits.values()) * people).astype(int)
    counts = dict(zip(splits, np.diff(ends, prepend=0).tolist(), strict=True))
    if min(counts.values()) < 1:
        raise ValueError(f"{people} people leave a split empty ({counts}); draw more people or change the shares.")
    split_of = [split for split, count in counts.items() for _ in range(count)]
    samples = [(person, view) for person in range(people) for view in range(views)]
    writer = StoreWriter(
        directory,
        header,
        [f"{person:05d}/{view:03d}" for person, view in samples],
        [f"{person:05d}" for person, _ in samples],
        [split_of[person] for person, _ in samples],
        ("five", "ibug68", "helen194"),
        parsing=True,
    )
    try:
        pending = writer.pending()
        frame = (header["stored_size"] - hr_size) // 2
        paint = partial(_sample, seed=header["seed"], size=hr_size, margin=frame)
        for index, sample in zip(pending, _painted([samples[i] for i in pending], paint, workers), strict=True):
            writer.write(index, sample)
        return writer.finish()
    finally:
        writer.close()


def _sample(who: tuple[int, int], seed: int, size: int, margin: int) -> Sample:
    person, view = who
    # A seed has room for a million people.
    image, ibug68, helen194, five, parsing = paint_face(seed * 1_000_000 + person, view, size, margin)
    return Sample(
        image, {"five": five, "ibug68": ibug68, "helen194": helen194}, parsing, f"synthetic-{seed}-{person}-{view}"
    )


def _painted(samples: list[tuple[int, int]], paint: partial[Sample], workers: int) -> Iterator[Sample]:
    if workers == 0:
        yield from map(paint, samples)
        return
    # Spawned: a fork of a process that has used the threads of torch or OpenCV can hang.
    with worker_pool(workers) as pool:
        yield from pool.map(paint, samples, chunksize=16)
