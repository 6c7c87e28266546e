"""Labeled Faces in the Wild (Huang et al., 2007): images and the pairs of its View 2."""

from collections.abc import Collection
from pathlib import Path

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.files import require_file
from rim_lightning.data.readers.folders import read_folders
from rim_lightning.data.readers.record import Record


def read_lfw(root: str | Path, images: str = "lfw-deepfunneled", landmarks: str | Path | None = None) -> list[Record]:
    """Records of LFW, all of the test split: LFW is for testing only.

    Args:
        root: folder that holds `images`.
        images: folder of the people's folders: `lfw-deepfunneled`, `lfw-funneled` or `lfw`.
        landmarks: table of landmarks (see `read_landmark_table`), or None.

    Raises:
        FileNotFoundError, ValueError: where the layout is another, in one sentence.
    """
    return [record._replace(split="test") for record in read_folders(Path(root) / images, landmarks)]


def read_pairs(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Pairs of LFW's View 2 from `pairs.txt`.

    The header is `<folds>\\t<n>`; each fold is n lines `<person>\\t<i>\\t<j>` (genuine) and then n lines
    `<person>\\t<i>\\t<other person>\\t<j>` (impostor), tab-separated.

    Args:
        file: the pairs file.
        names: names of the images at hand; every image of a pair must be among them. None leaves that unchecked.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the header, a line or the number of lines is wrong, or an image is missing.
    """
    file = require_file(Path(file), "the pairs of LFW's View 2")
    lines = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        folds, size = (int(value) for value in lines[0])
    except (IndexError, ValueError):
        raise ValueError(
            f"{file} does not begin with '<folds><tab><pairs per fold and kind>', like '10<tab>300'."
        ) from None
    if len(lines) - 1 != 2 * folds * size:
        raise ValueError(
            f"{file} lists {len(lines) - 1} pairs where its header announces {folds} x 2 x {size} = {2 * folds * size}."
        )
    pairs = []
    for i, fields in enumerate(lines[1:]):
        fold, within = divmod(i, 2 * size)
        pairs.append(_parse_pair(fields, fold, same=within < size, where=f"{file} line {i + 2}"))
    if names is not None:
        known = set(names)
        missing = sorted({name for pair in pairs for name in (pair.gallery, pair.probe)} - known)
        if missing:
            raise ValueError(f"{len(missing)} images of {file} are missing from the prepared data, first {missing[0]}.")
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
    return f"{person}/{person}_{int(number):04d}.jpg"
