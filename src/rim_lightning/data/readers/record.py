"""What a reader knows of one image of a data set before anything is decoded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Record(NamedTuple):
    """One image and its labels.

    Attributes:
        name: Name within the data set, unique; for people, `<person>/<file name>`.
        image: Path of the image file.
        identity: Name of the person; None if it is unknown.
        split: "train", "val" or "test".
        landmarks: Scheme name -> (P, 2), x and y in pixels of the image file, NaN where not annotated. May be empty.
        load_parsing: Picklable function that returns the (H, W) uint8 Helen-11 map at the size of the image; None if
            there is no map.
    """

    name: str
    image: Path
    identity: str | None
    split: str
    landmarks: Mapping[str, NDArray[np.float64]]
    load_parsing: Callable[[], NDArray[np.uint8]] | None = None
