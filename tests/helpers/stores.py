"""Small prepared stores for tests."""

from pathlib import Path

import numpy as np

from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.data.stores.writer import Sample, StoreWriter
from rim_lightning.data.synthetic.store import synthetic_store


def small_synthetic_store(
    directory: Path, people: int = 6, views: int = 3, hr_size: int = 48, seed: int = 0
) -> PreparedStore:
    """Faces of `people` synthetic people: two thirds of them in train, the rest split between val and test."""
    splits = {"train": 4, "val": 1, "test": 1}
    return synthetic_store(directory, people, views, hr_size, 0.125, seed, splits, workers=0)


def noise_store(
    directory: Path,
    names: list[str],
    identities: list[str | None],
    schemes: dict[str, int],
    split: str = "train",
    hr_size: int = 48,
    margin: int = 6,
) -> PreparedStore:
    """Random pixels and points, no parsing: what a source with few labels prepares."""
    rng = np.random.default_rng(5)
    side = hr_size + 2 * margin
    header = {"hr_size": hr_size, "stored_size": side}
    writer = StoreWriter(directory, header, names, identities, [split] * len(names), schemes, parsing=False)
    for index in range(len(names)):
        points = {scheme: rng.uniform(0, side, (count, 2)).astype(np.float32) for scheme, count in schemes.items()}
        writer.write(index, Sample(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), points, None, str(index)))
    return writer.finish()
