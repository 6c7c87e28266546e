"""Pictures and stores of synthetic faces: people who do not exist, with exact landmarks and parsing maps."""

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
from rim_lightning.runs.progress import progress_bar

SYNTHESIS_VERSION = 2
"""Version of the pictures. It increases when the same seeds give another picture; older stores are then made again."""


def paint_face(
    identity_seed: int, view_seed: int, size: int, margin: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Paint an aligned face with landmarks and parsing map. The result depends on the arguments alone.

    Args:
        identity_seed: Number of the person: shape of the face, colors, hair, beard, glasses, moles.
        view_seed: Number of the view: turn of the head, expression, light, background, and a small error of alignment.
        size: Side of the aligned face in pixels. Its five points lie near the 112-pixel template scaled to it.
        margin: Width of the frame around the aligned face in pixels.

    Returns:
        Image, (S, S, 3) uint8 RGB with S = size + 2 · margin; landmarks of the schemes ibug68 (68, 2), helen194
        (194, 2) and five (5, 2), float32, in pixels of the image; Helen-11 parsing map, (S, S) uint8. Neck, ears and
        clothes are background. Skin and eyes behind glasses keep their class.
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
    """Make a prepared store of synthetic faces, or open it if an earlier call made it with the same arguments.

    Args:
        directory: Folder of the store.
        people: Number of people. No person is in two splits.
        views: Number of pictures per person.
        hr_size: Side of the aligned face in pixels.
        margin: Width of the frame around it as a share of `hr_size`.
        seed: Seed of the people. Two seeds have no person in common.
        splits: Share of the people by split ("train", "val", "test"), on any positive scale.
        workers: Number of processes. 0 paints in this process. The pixels do not depend on it.

    Returns:
        The store.

    Raises:
        ValueError: If a split would be empty, or the folder holds another store.
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
        return _open_store(directory, header)
    with one_writer(directory):
        return _open_store(directory, header) if Path(directory).is_dir() else _make_store(directory, header, workers)


def _open_store(directory: str | PathLike[str], header: dict[str, Any]) -> PreparedStore:
    store = PreparedStore(directory)
    if any(store.manifest.get(key) != value for key, value in header.items()):
        raise ValueError(
            f"{directory} holds faces that were made with different settings; delete it or choose another directory."
        )
    return store


def _make_store(directory: str | PathLike[str], header: dict[str, Any], workers: int) -> PreparedStore:
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
        painted = _paint_all([samples[i] for i in pending], paint, workers)
        pairs = zip(pending, painted, strict=True)
        for index, sample in progress_bar(pairs, total=len(pending), desc="synthetic faces", unit="face", leave=False):
            writer.write(index, sample)
        return writer.finish()
    finally:
        writer.close()


def _sample(person_view: tuple[int, int], seed: int, size: int, margin: int) -> Sample:
    person, view = person_view
    # A million people per seed.
    image, ibug68, helen194, five, parsing = paint_face(seed * 1_000_000 + person, view, size, margin)
    return Sample(
        image, {"five": five, "ibug68": ibug68, "helen194": helen194}, parsing, f"synthetic-{seed}-{person}-{view}"
    )


def _paint_all(samples: list[tuple[int, int]], paint: partial[Sample], workers: int) -> Iterator[Sample]:
    if workers == 0:
        yield from map(paint, samples)
        return
    # Spawned processes: a fork of a process that has used the threads of torch or OpenCV can hang.
    with worker_pool(workers) as pool:
        yield from pool.map(paint, samples, chunksize=16)
