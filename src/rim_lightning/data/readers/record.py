"""What a reader knows of one image of a data set before anything is decoded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import read_content


class Record(NamedTuple):
    """One image and its labels.

    Attributes:
        name: Name within the data set, unique; for people, `<person>/<file name>`.
        image: Path of the image file, or of the file that holds this picture and others.
        identity: Name of the person; None if it is unknown.
        split: "train", "val" or "test".
        landmarks: Scheme name -> (P, 2), x and y in pixels of the image file, NaN where not annotated. May be empty.
        load_parsing: Picklable function that returns the (H, W) uint8 Helen-11 map at the size of the image; None if
            there is no map.
        load_content: Picklable function that returns the bytes of the encoded picture if `image` holds several; None
            if `image` is the picture.
    """

    name: str
    image: Path
    identity: str | None
    split: str
    landmarks: Mapping[str, NDArray[np.float64]]
    load_parsing: Callable[[], NDArray[np.uint8]] | None = None
    load_content: Callable[[], bytes] | None = None

    def content(self) -> bytes:
        """Read the encoded picture.

        Raises:
            ImageError: If it is no regular file, is empty or too large, or is no picture that its file may hold.
            OSError: If it cannot be read.
        """
        return read_content(self.image, self.name) if self.load_content is None else self.load_content()
