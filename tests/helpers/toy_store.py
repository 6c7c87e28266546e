"""A store of five toy samples, of which one is skipped, for the tests of its writer and of its reader."""

import numpy as np

from rim_lightning.data.stores.writer import Sample, StoreWriter

NAMES = ["a", "b", "c", "d", "e"]
PEOPLE = ["zoe", None, "amy", "zoe", None]
SPLITS = ["train", "val", "train", "test", "train"]
HEADER = {"name": "toy", "hr_size": 16, "margin": 0.125, "stored_size": 20, "alignment": "five", "landmarks": "auto"}


def sample(index: int, *, five: bool = True, parsing: bool = True) -> Sample:
    rng = np.random.default_rng(index)
    return Sample(
        image=rng.integers(0, 256, (20, 20, 3), dtype=np.uint8),
        landmarks={"five": rng.uniform(0, 20, (5, 2)).astype(np.float32)} if five else {},
        parsing=rng.integers(0, 11, (20, 20), dtype=np.uint8) if parsing else None,
        file_hash=f"hash{index}",
        detected=index == 3,
    )


def writer(path, header=HEADER, names=NAMES) -> StoreWriter:
    return StoreWriter(path, header, names, PEOPLE, SPLITS, {"five"}, parsing=True)


def fill(path, order=(0, 1, 3, 4), skip=2):
    target = writer(path)
    for index in order:
        target.write(index, sample(index, five=index != 1, parsing=index != 4))
    target.skip(skip, "no face found")
    return target.finish()


def contents(path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
