"""Labeled Faces in the Wild (Huang et al., 2007): images and the pairs of its View 2."""

from collections.abc import Collection
from pathlib import Path

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.files import read_label_text, require_images
from rim_lightning.data.readers.people import read_people
from rim_lightning.data.readers.record import Record


def read_lfw(root: str | Path, images: str = "lfw-deepfunneled", landmarks: str | Path | None = None) -> list[Record]:
    """List the images of LFW, all in the test split: LFW is for testing only.

    Args:
        root: Folder that holds `images`.
        images: Folder of the people's folders: `lfw-deepfunneled`, `lfw-funneled` or `lfw`.
        landmarks: Table of landmarks (see `read_landmark_table`), or None.

    Returns:
        Records sorted by person and file name.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If the table of landmarks is damaged.
    """
    return [record._replace(split="test") for record in read_people(Path(root) / images, landmarks)]


def read_pairs(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Read the pairs of LFW's View 2 from `pairs.txt`.

    The fields of a line are separated by tabs or spaces. The header is `<folds> <n>`. Each fold is n lines
    `<person> <i> <j>` (genuine) and then n lines `<person> <i> <other person> <j>` (impostor).

    Args:
        file: The pairs file.
        names: Names of the prepared images; every image of a pair must be among them. None skips that check.

    Returns:
        The pairs in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the header, a line or the number of lines is wrong, or an image is missing.
    """
    file = Path(file)
    text = read_label_text(file, "the pairs of LFW's View 2").splitlines()
    lines = [(number, line.split()) for number, line in enumerate(text, start=1) if line.strip()]
    try:
        folds, size = (int(value) for value in lines[0][1])
        if min(folds, size) < 1:
            raise ValueError("no number of pairs")
    except (IndexError, ValueError):
        raise ValueError(
            f"{file} does not begin with '<folds><tab><pairs per fold and kind>', like '10<tab>300'."
        ) from None
    if len(lines) - 1 != 2 * folds * size:
        raise ValueError(
            f"{file} lists {len(lines) - 1} pairs where its header announces {folds} x 2 x {size} = {2 * folds * size}."
        )
    pairs, mentions = [], []
    for index, (number, fields) in enumerate(lines[1:]):
        fold, within = divmod(index, 2 * size)
        pair = _parse_pair(fields, fold, same=within < size, where=f"{file} line {number}")
        pairs.append(pair)
        mentions += [(number, pair.gallery), (number, pair.probe)]
    require_images(file, mentions, names)
    return pairs


def _parse_pair(fields: list[str], fold: int, same: bool, where: str) -> Pair:
    try:
        if same:
            person, first, second = fields
            return Pair(_image_name(person, first), _image_name(person, second), True, fold)
        person, first, other, second = fields
        return Pair(_image_name(person, first), _image_name(other, second), False, fold)
    except ValueError:
        kind = "<person><tab><i><tab><j>" if same else "<person><tab><i><tab><other person><tab><j>"
        raise ValueError(f"{where} is not '{kind}'.") from None


def _image_name(person: str, number: str) -> str:
    if not number.isdecimal():
        raise ValueError("no number of an image")
    return f"{person}/{person}_{int(number):04d}.jpg"
