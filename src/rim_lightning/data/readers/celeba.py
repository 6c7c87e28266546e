"""The official CelebA: one flat folder of pictures, with lists of people, five points and splits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.readers.files import excerpt, list_images, read_label_text, require_folder
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import SPLITS
from rim_lightning.schemes import FIVE

POINT_LISTS = {"img_align_celeba": "list_landmarks_align_celeba.txt", "img_celeba": "list_landmarks_celeba.txt"}
"""Folder of pictures -> list of their points."""


def read_celeba_official(root: str | Path, images: str = "img_align_celeba") -> list[Record]:
    """List the pictures of the official CelebA as it is downloaded.

    The lists are `identity_CelebA.txt`, `list_eval_partition.txt` and that of the points. Lists and pictures lie in the
    folder itself, or in its folders `Anno`, `Eval` and `Img`. A part of the pictures is enough.

    Args:
        root: The folder.
        images: "img_align_celeba", or "img_celeba" for the pictures as they were found.

    Returns:
        Records sorted by file name. No person is in two splits.

    Raises:
        FileNotFoundError: If a folder or list is missing.
        ValueError: If there is no such folder of pictures, a list is damaged, or a picture is missing in one.
    """
    if images not in POINT_LISTS:
        raise ValueError(f"images is '{images}'; choose {' or '.join(POINT_LISTS)}.")
    root = require_folder(Path(root), f"{images}/ and the lists of CelebA")
    folder = next((place for place in (root / "Img" / images, root / images / images) if place.is_dir()), root / images)
    pictures = list_images(folder, "the pictures 000001.jpg ... of CelebA")
    people = _list(root, "identity_CelebA.txt", "<image> <person>", 1)
    splits = _list(root, "list_eval_partition.txt", "<image> <0, 1 or 2>", 1)
    points = _list(root, POINT_LISTS[images], "<image> and five points", 2 * FIVE.points)
    records = []
    for picture in pictures:
        for file, rows in (people, splits, points):
            if picture.name not in rows:
                raise ValueError(f"{file} does not name {picture.name}, which lies in {folder}: get the list anew.")
        (split,) = splits[1][picture.name]
        if split not in range(len(SPLITS)):
            raise ValueError(f"{splits[0]} puts {picture.name} into part {split}; expected 0, 1 or 2.")
        five: NDArray[np.float64] = np.array(points[1][picture.name], dtype=np.float64).reshape(FIVE.points, 2)
        (person,) = people[1][picture.name]
        records.append(Record(picture.name, picture, str(person), SPLITS[split], {FIVE.name: five}))
    return records


def _list(root: Path, name: str, layout: str, numbers: int) -> tuple[Path, dict[str, Sequence[int]]]:
    """Read a list: image name -> whole numbers. A first line with their count and one with titles are left out."""
    places = (root / name, root / "Anno" / name, root / "Eval" / name)
    file = next((place for place in places if place.is_file()), places[0])
    rows: dict[str, Sequence[int]] = {}
    for number, line in enumerate(read_label_text(file, f"lines '{layout}'").splitlines(), start=1):
        image, *cells = line.split() or [""]
        if number <= 2 and not image.endswith(".jpg"):
            continue
        if not line.strip():
            continue
        try:
            values = [int(cell) for cell in cells]
        except ValueError:
            values = []
        if len(values) != numbers:
            raise ValueError(f"{file} line {number} is '{excerpt(line)}'; expected '{layout}'.")
        rows[image] = values
    return file, rows
