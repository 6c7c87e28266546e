"""Helen as published: photographs with 194 points (Le et al., 2012) and parsing maps (Smith et al., 2013)."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import picture_size, read_numbers
from rim_lightning.data.listing import list_folder
from rim_lightning.data.readers.files import (
    excerpt,
    hash_split,
    inner_name,
    read_label_text,
    require_folder,
    resized_mask,
)
from rim_lightning.data.readers.record import Record
from rim_lightning.schemes import HELEN11, HELEN194

SMITH_SPLITS = {"exemplars.txt": "train", "tuning.txt": "val", "testing.txt": "test"}


def read_annotation(file: Path) -> tuple[str, NDArray[np.float64]]:
    """Read an annotation file: a line with the name of the image, then lines `x , y`.

    Args:
        file: The annotation file.

    Returns:
        Image name without suffix, and (194, 2) points in pixels.

    Raises:
        ValueError: If the file has another format.
    """
    lines = read_label_text(file, "an annotation of Helen").splitlines()
    try:
        points = np.array([[float(value) for value in line.split(",")] for line in lines[1:] if line.strip()])
    except ValueError:
        points = np.empty(0)
    if points.shape != (HELEN194.points, 2):
        raise ValueError(f"{file} is not an image name followed by {HELEN194.points} lines 'x , y'.")
    return lines[0].strip(), points


def load_soft_maps(folder: Path, name: str, image: Path) -> NDArray[np.uint8]:
    """Load a Helen-11 map: for each pixel the most probable class of `<name>_lbl00.png` ... `<name>_lbl10.png`.

    Args:
        folder: Folder of the probability maps.
        name: Name of the photograph.
        image: Image file that the map belongs to.

    Returns:
        (H, W) classes at the size of the image.
    """
    maps = []
    for number in range(len(HELEN11.classes)):
        maps.append(read_numbers(folder / f"{name}_lbl{number:02d}.png", lightness=True))
    return resized_mask(np.stack(maps).argmax(axis=0).astype(np.uint8), picture_size(image))


def read_helen(root: str | Path) -> list[Record]:
    """List the photographs of the official Helen download, with or without parsing maps at their own size.

    It holds `annotation/<k>.txt`, the photographs in `helen_1/` ... `helen_5/`, `trainnames.txt` and `testnames.txt`,
    and, if the parsing maps of the ORIGINAL size were added, `labels/<name>/<name>_lbl00.png` ... `_lbl10.png`.
    The names in `testnames.txt` are the test split. About a tenth of the other photographs is for validation.

    Args:
        root: Folder of the download.

    Returns:
        Records sorted by file name.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If an annotation is damaged.
    """
    root = Path(root)
    annotations = sorted(require_folder(root / "annotation", "1.txt ... of the Helen annotation").glob("*.txt"))
    photographs = {
        image.stem: image
        for folder in sorted(root.glob("helen_*/"))
        for image in list_folder(folder).pictures
        if image.suffix.lower() == ".jpg"
    }
    if not annotations or not photographs:
        raise FileNotFoundError(
            f"{root} holds no Helen; expected annotation/*.txt and photographs in helen_1/ ... there."
        )
    test_names = read_label_text(root / "testnames.txt", "the names of Helen's test images")
    test = set(test_names.split())
    records = []
    for file in annotations:
        name, points = read_annotation(file)
        inner_name(name, f"{file} line 1")
        image = photographs.get(name, root / f"{name}.jpg")  # a missing photograph is reported, not fatal
        split = "test" if name in test else hash_split(name.rpartition("_")[0])
        records.append(Record(image.name, image, None, split, {HELEN194.name: points}, _parsing(root, image)))
    return sorted(records, key=lambda record: record.name)


def read_smith(root: str | Path) -> list[Record]:
    """List the images of the parsing data set SmithCVPR2013 (`..._dataset_resized` or `..._dataset_original`).

    It holds `images/<name>.jpg`, `labels/<name>/<name>_lbl00.png` ... `_lbl10.png`, and the lists `exemplars.txt`
    (train), `tuning.txt` (val) and `testing.txt` (test) of lines `<k> , <name>`. It has no landmarks: faces are found
    by detection.

    Args:
        root: Folder of the data set.

    Returns:
        Records sorted by file name.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If a list is damaged.
    """
    root = Path(root)
    images = require_folder(root / "images", "the images of SmithCVPR2013")
    require_folder(root / "labels", "one folder of probability maps per image")
    records = []
    for listing, split in SMITH_SPLITS.items():
        file = root / listing
        for number, line in enumerate(read_label_text(file, "lines '<k> , <name>'").splitlines(), start=1):
            if not line.strip():
                continue
            name = line.partition(",")[2].strip()
            if not name:
                raise ValueError(f"{file} line {number} is '{excerpt(line)}'; expected '<k> , <name>'.")
            inner_name(name, f"{file} line {number}")
            image = images / f"{name}.jpg"
            records.append(Record(image.name, image, None, split, {}, _parsing(root, image)))
    return sorted(records, key=lambda record: record.name)


def _parsing(root: Path, image: Path) -> partial | None:
    folder = root / "labels" / image.stem
    return partial(load_soft_maps, folder, image.stem, image) if folder.is_dir() else None
