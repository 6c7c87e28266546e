"""What a reader says about one image of a data set, before anything is decoded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Record(NamedTuple):
    """One image and its labels.

    Attributes:
        name: name within the data set, unique; for people, `<person>/<file name>`.
        image: the image file.
        identity: name of the person, or None where it is unknown.
        split: "train", "val" or "test".
        landmarks: scheme name -> (P, 2), x and y in pixels of the image file; NaN = not annotated. May be empty.
        load_parsing: picklable; returns the (H, W) uint8 Helen-11 map at the size of the image. None without a map.
    """

    name: str
    image: Path
    identity: str | None
    split: str
    landmarks: Mapping[str, NDArray[np.float64]]
    load_parsing: Callable[[], NDArray[np.uint8]] | None = None
