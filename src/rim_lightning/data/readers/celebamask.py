"""CelebAMask-HQ: a compact copy with index masks, or the official folders with one mask for each part."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import picture_size, read_numbers
from rim_lightning.data.readers.files import (
    excerpt,
    hash_split,
    list_images,
    read_label_text,
    read_landmark_table,
    read_splits,
    require_a_match,
    require_folder,
    resized_mask,
    same_name,
    split_of,
)
from rim_lightning.data.readers.record import Record
from rim_lightning.data.views import mirror_parsing
from rim_lightning.schemes import CELEBAMASK19, to_helen11
from rim_lightning.types import UNLABELED

# The official partition of CelebA by file number (list_eval_partition.txt): 162,770 to train, then 19,867 to validate.
LAST_TRAIN, LAST_VAL = 162_770, 182_637
IMAGES_PER_FOLDER = 2000  # CelebAMask-HQ-mask-anno/<n // 2000>/<n>_<part>.png

LEFT_AND_RIGHT = ((2, 3), (4, 5))  # classes of Helen-11: left and right brow, left and right eye


def load_index_mask(mask: Path, image: Path) -> NDArray[np.uint8]:
    """Load a Helen-11 map from a PNG of CelebAMask-HQ class numbers.

    Args:
        mask: Gray or palette PNG of any size.
        image: Image file that the map belongs to.

    Returns:
        (H, W) classes at the size of the image.

    Raises:
        ValueError: If the mask is neither gray nor a palette image, is damaged, is of another shape than the image, or
            holds an unknown class.
    """
    classes = read_numbers(mask)
    unknown = set(np.unique(classes).tolist()) - {*range(len(CELEBAMASK19.classes)), UNLABELED}
    if unknown:
        raise ValueError(
            f"{mask} holds the class {min(unknown)}; CelebAMask-HQ has 0 to {len(CELEBAMASK19.classes) - 1}, and "
            f"{UNLABELED} is not labeled"
        )
    return with_viewer_sides(to_helen11(resized_mask(classes, picture_size(image))))


def load_part_masks(folder: Path, stem: str, image: Path) -> NDArray[np.uint8]:
    """Load a Helen-11 map from the files `<stem>_<part>.png` of the official annotation.

    Where parts overlap, the later class wins, as in the publishers' g_mask.py.

    Args:
        folder: Folder of the masks.
        stem: Beginning of the file names: the number of the image, five digits.
        image: Image file that the map belongs to.

    Returns:
        (H, W) classes at the size of the image.
    """
    size = picture_size(image)
    classes = np.zeros(size[::-1], dtype=np.uint8)
    for number, part in enumerate(CELEBAMASK19.classes[1:], start=1):
        file = folder / f"{stem}_{part}.png"
        if file.is_file():
            classes[resized_mask(read_numbers(file, lightness=True), size) > 0] = number
    return with_viewer_sides(to_helen11(classes))


def with_viewer_sides(parsing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exchange left and right of a Helen-11 map if its left eye and brow lie to the right of the right ones.

    Six percent of the published maps name the sides of a mirrored face. The mean x of the eyes and of the brows
    decides; a pair of which only one is visible does not count. Without any pair the map stays as it is.

    Args:
        parsing: (H, W) classes.

    Returns:
        (H, W) classes whose left side lies on the left of the image.
    """
    offset = 0.0
    for left, right in LEFT_AND_RIGHT:
        columns = [np.flatnonzero(parsing == number) % parsing.shape[1] for number in (left, right)]
        if all(len(x) for x in columns):
            offset += columns[1].mean() - columns[0].mean()
    return mirror_parsing(parsing) if offset < 0 else parsing


def read_celebamask(root: str | Path, splits: str | Path | None = None, split_key: str = "celebamask") -> list[Record]:
    """List the images of a folder with `images/`, `masks/<image>.png` (index PNG, official order), `landmarks.tsv`.

    Args:
        root: The folder.
        splits: JSON file with the splits, keyed by image file name. Without it, about a tenth is for validation.
        split_key: Entry of that file.

    Returns:
        Records sorted by file name. An image without a mask has no parsing.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If the table of landmarks or the splits are damaged, or an image is in no split.
    """
    root = Path(root)
    images = list_images(root / "images", "the portraits of CelebAMask-HQ")
    masks = require_folder(root / "masks", "one PNG of class numbers per image")
    table = read_landmark_table(root / "landmarks.tsv")
    require_a_match(root / "landmarks.tsv", table, (same_name(image.stem) for image in images))
    split_by_name = read_splits(splits, split_key)
    records = []
    for image in images:
        mask = masks / f"{image.stem}.png"
        load = partial(load_index_mask, mask, image) if mask.is_file() else None
        split = split_of(image.name, split_by_name, splits)
        records.append(Record(image.name, image, None, split, table.get(same_name(image.stem), {}), load))
    return records


def read_celebamask_official(root: str | Path) -> list[Record]:
    """List the images of the official CelebAMask-HQ folder.

    It holds `CelebA-HQ-img/<n>.jpg` and `CelebAMask-HQ-mask-anno/<n // 2000>/<n, five digits>_<part>.png`, and no
    landmarks: faces are found by detection. Splits follow CelebA's own partition through
    `CelebA-HQ-to-CelebA-mapping.txt` if that is present; otherwise about a tenth is for validation.

    Args:
        root: The folder.

    Returns:
        Records sorted by file name.

    Raises:
        FileNotFoundError: If a folder of this layout is missing.
        ValueError: If an image is not named by its number, or the mapping is damaged.
    """
    root = Path(root)
    images = list_images(root / "CelebA-HQ-img", "the images 0.jpg ... of CelebAMask-HQ")
    masks = require_folder(root / "CelebAMask-HQ-mask-anno", "the folders 0 ... 14 of part masks")
    mapping = root / "CelebA-HQ-to-CelebA-mapping.txt"
    splits = _official_splits(mapping) if mapping.is_file() else {}
    records = []
    for image in images:
        if not image.stem.isdecimal():
            raise ValueError(f"{image} is not named by its number; expected 0.jpg, 1.jpg ... in {image.parent}.")
        number = int(image.stem)
        load = partial(load_part_masks, masks / str(number // IMAGES_PER_FOLDER), f"{number:05d}", image)
        split = splits.get(number) or hash_split(image.stem)
        records.append(Record(image.name, image, None, split, {}, load))
    return records


def _official_splits(file: Path) -> dict[int, str]:
    """Read number of CelebA-HQ -> split from lines `<number> <CelebA index> <CelebA file>.jpg` under a header."""
    splits = {}
    for place, line in enumerate(read_label_text(file, "the numbers of CelebA").splitlines()[1:], start=2):
        try:
            number, _, original = line.split()
            index, celeba = int(number), int(Path(original).stem)
        except ValueError:
            raise ValueError(
                f"{file} line {place} is '{excerpt(line)}'; expected '<number> <index> <file>.jpg'."
            ) from None
        splits[index] = "train" if celeba <= LAST_TRAIN else "val" if celeba <= LAST_VAL else "test"
    return splits
