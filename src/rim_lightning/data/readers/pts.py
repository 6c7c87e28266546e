"""Helen and 300-W as distributed by iBUG: images with a .pts file beside each, in `trainset` and `testset`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.readers.files import (
    hash_split,
    list_images,
    read_label_text,
    read_splits,
    require_folder,
    split_of,
)
from rim_lightning.data.readers.record import Record
from rim_lightning.schemes import LANDMARK_SCHEMES

_SCHEME_OF = {scheme.points: scheme.name for scheme in LANDMARK_SCHEMES.values()}
_LAYOUT = "images with a .pts file beside each"


def read_points(file: Path, first_pixel: float = 1.0) -> dict[str, NDArray[np.float64]]:
    """Read the landmarks of a .pts file. The number of points decides the scheme.

    The format is `version: 1`, `n_points: 68`, `{`, one `x y` per line, `}`.

    Args:
        file: The .pts file.
        first_pixel: Coordinate that the file gives to the center of the first pixel: 1 in the annotations of iBUG,
            which were made with MATLAB.

    Returns:
        Scheme name -> (P, 2) points in pixels; the center of the first pixel is 0.

    Raises:
        ValueError: If the file has another format, or a number of points that no scheme has.
    """
    if not isinstance(first_pixel, int | float):
        raise ValueError(f"first_pixel is {first_pixel}; it must be the coordinate of the first pixel, 0 or 1.")
    text = read_label_text(file, "landmarks 'x y' between braces")
    body = text.partition("{")[2].partition("}")[0]
    try:
        points = np.array([[float(value) for value in line.split()] for line in body.splitlines() if line.strip()])
    except ValueError:
        raise ValueError(f"{file} does not hold one 'x y' per line between braces.") from None
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in _SCHEME_OF:
        raise ValueError(f"{file} holds {len(points)} points; expected {', '.join(map(str, _SCHEME_OF))} pairs 'x y'.")
    return {_SCHEME_OF[len(points)]: points - first_pixel}


def read_pts(
    root: str | Path, splits: str | Path | None = None, split_key: str = "helen", first_pixel: float = 1.0
) -> list[Record]:
    """List the images of a folder with `trainset/` and `testset/`, each of images with a .pts file beside them.

    An image without a .pts file has no landmarks: its face is found by detection.

    Args:
        root: The folder.
        splits: JSON file with the splits, keyed by image file name. Without it, `testset` is the test split and about
            a tenth of the photographs of `trainset` is for validation: faces `<photo>_1` and `<photo>_2` of one
            photograph stay together.
        split_key: Entry of that file.
        first_pixel: Coordinate of the center of the first pixel in .pts files, see `read_points`.

    Returns:
        Records sorted by file name, first those of `trainset`.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If a .pts file or the splits are damaged, or an image is in no split.
    """
    root = require_folder(Path(root), f"trainset/ and testset/ of {_LAYOUT}")
    split_by_name = read_splits(splits, split_key)
    records = []
    for folder in ("trainset", "testset"):
        for image in list_images(root / folder, _LAYOUT):
            if split_by_name:
                split = split_of(image.name, split_by_name, splits)
            else:
                split = "test" if folder == "testset" else hash_split(image.stem.rpartition("_")[0] or image.stem)
            landmarks = points_beside(image, first_pixel)
            records.append(Record(f"{folder}/{image.name}", image, None, split, landmarks))
    if not any(record.landmarks for record in records):
        raise FileNotFoundError(f"{root} holds no .pts files; expected {_LAYOUT} in trainset/ and testset/.")
    return records


def points_beside(image: Path, first_pixel: float) -> dict[str, NDArray[np.float64]]:
    """Read the landmarks of the .pts file beside an image, see `read_points`; without a file there are none."""
    file = image.with_suffix(".pts")
    return read_points(file, first_pixel) if file.is_file() else {}
