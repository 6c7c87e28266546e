"""Files that every reader needs: image listings, landmark tables, splits, and the errors for missing ones."""

import csv
import hashlib
import io
import os
import posixpath
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rim_lightning.data.listing import list_folder
from rim_lightning.data.stores.prepared import SPLITS
from rim_lightning.files import MAX_NAME, MAX_TEXT, printable, read_bytes
from rim_lightning.json_files import parse_json
from rim_lightning.schemes import FIVE, IBUG68

VALIDATION_SHARE = 0.1
SHOWN = 80  # characters of a line that a message shows

_FIVE_NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_COLUMNS: tuple[tuple[str, list[tuple[str, str]]], ...] = (
    (FIVE.name, [(f"five_x{i}", f"five_y{i}") for i in range(FIVE.points)]),
    (FIVE.name, [(f"{part}_x", f"{part}_y") for part in _FIVE_NAMES]),
    (IBUG68.name, [(f"x{i}", f"y{i}") for i in range(IBUG68.points)]),
)


def require_folder(folder: Path, what: str) -> Path:
    """Return the folder if it exists.

    Args:
        folder: Path of the folder.
        what: What it should hold, for the message.

    Raises:
        FileNotFoundError: If it is not a folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; expected {what} there.")
    return folder


def require_file(file: Path, what: str) -> Path:
    """Return the file if it exists.

    Args:
        file: Path of the file.
        what: What it should hold, for the message.

    Raises:
        FileNotFoundError: If it is not a file.
    """
    if not file.is_file():
        fault = "is no regular file" if file.exists() else "does not exist"
        raise FileNotFoundError(f"{file} {fault}; expected {what} there.")
    return file


def list_images(folder: Path, what: str) -> list[Path]:
    """List the image files directly in a folder, sorted by name.

    Args:
        folder: Path of the folder.
        what: What it should hold, for the message.

    Raises:
        FileNotFoundError: If it is not a folder, or holds no image files.
    """
    images = images_in(require_folder(folder, what))
    if not images:
        raise FileNotFoundError(f"{folder} holds no images; expected {what} there{images_elsewhere(folder)}.")
    return images


def images_elsewhere(folder: Path) -> str:
    """Return the end of a sentence that says where in a folder images lie, at another depth than expected."""
    images = list_folder(folder).pictures
    return f" ({len(images)} images lie elsewhere in it, the first is {images[0]})" if images else ""


def images_in(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name. There may be none. See `list_folder`."""
    return list_folder(folder, deep=False).pictures


def require_images(file: Path, mentions: Iterable[tuple[int, str]], names: Collection[str] | None) -> None:
    """Check that every image that a list names was prepared.

    Args:
        file: The list, for the message.
        mentions: (line number, image name) for every place at which the list names an image.
        names: Names of the prepared images; None skips the check.

    Raises:
        ValueError: If an image is missing.
    """
    if names is None:
        return
    prepared = set(names)
    missing = [(number, name) for number, name in mentions if name not in prepared]
    if missing:
        number, name = missing[0]
        raise ValueError(
            f"{file} line {number} names {excerpt(name)}, the first of {len({name for _, name in missing})} images "
            "that are missing from the prepared data; prepare the folder that the list was made for."
        )


def read_label_text(file: Path, what: str, largest: int = MAX_TEXT) -> str:
    """Read a file of labels: text in UTF-8, or in UTF-16 as spreadsheets write it.

    Args:
        file: The file.
        what: What it should hold, for the message.
        largest: Largest size of the file in bytes.

    Returns:
        Its text, without a byte order mark.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text.
    """
    content = read_bytes(require_file(file, what), largest=largest)
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{file} is no text in UTF-8 (line {line}); expected {what} there.") from None
    if "\0" in text:  # UTF-16 without a byte order mark, or no text at all
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{file} is no text in UTF-8 (line {line} holds a zero byte); expected {what} there.")
    return text


def excerpt(text: str) -> str:
    """Return the beginning of a text of a file, for a message: a line may have any length."""
    return printable(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def inner_name(name: str, where: str) -> str:
    """Return the name that a label file gives to an image, if an image in the folder can have it.

    Args:
        name: Name of an image, a path in its folder.
        where: File and line, for the message.

    Raises:
        ValueError: If it is empty, too long, or leads out of the folder.
    """
    parts = name.replace("\\", "/").split("/")
    too_long = max(len(os.fsencode(part)) for part in parts) > MAX_NAME
    if not name or Path(name).is_absolute() or ".." in parts or too_long:
        raise ValueError(f"{where} names '{excerpt(name)}', which can be no image in the folder: correct the name.")
    return name


def numbered_rows(file: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the rows of a table that are not empty, each with the number of its last line.

    Args:
        file: The table, for the message.
        text: Its text.
        separator: Character between two cells.

    Raises:
        ValueError: If it is no table, or a cell has more than 131,072 characters.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(
            f"{file} is no table (line {reader.line_num}: {error}); expected columns separated by tabs, commas or "
            "semicolons."
        ) from None


def same_name(name: str) -> str:
    """Return the form in which names of images are compared: composed characters, '/', and no '.' or '..' parts."""
    return posixpath.normpath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/"))


def read_rows(file: Path, what: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a table with a header, whose columns are separated by tabs, commas or semicolons.

    Args:
        file: The table.
        what: What it should hold, for the message.

    Returns:
        The names of the columns; and each row with the number of its line. All have as many cells.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table, or a row has more or fewer cells than the header.
    """
    text = read_label_text(file, what)
    separator = max("\t,;", key=text.partition("\n")[0].count)
    rows = numbered_rows(file, text, separator)
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise ValueError(f"{file} line {number} has {len(row)} columns where the header has {len(header)}.")
    return header, rows[1:]


class PictureRow(NamedTuple):
    """A row of a table that names pictures.

    Attributes:
        where: File and line, for messages.
        path: The picture.
        cells: Name of a column -> cell, without spaces around it.
    """

    where: str
    path: Path
    cells: dict[str, str]


def read_picture_rows(table: Path, column: str) -> list[PictureRow]:
    """Read a table that says of each picture to what it belongs: with the columns `picture` and, for example, `track`.

    Args:
        table: The table. Its columns are separated by tabs, commas or semicolons; paths of pictures are relative to it.
        column: Name of the other column.

    Returns:
        Its rows, at least one. Whether the pictures exist is not checked.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is damaged, lacks a column or rows, has an empty entry, or names a picture outside of its
            folder.
    """
    header, rows = read_rows(table, f"a table with the columns picture and {column}")
    if not {"picture", column} <= set(header):
        raise ValueError(
            f"{table} has no columns 'picture' and '{column}'; its first line has {excerpt(', '.join(header))}."
        )
    if not rows:
        raise ValueError(f"{table} names no picture.")
    picture_rows = []
    for number, row in rows:
        where = f"{table} line {number}"
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        if not cells[column]:
            raise ValueError(f"{where} names no {column}: say to which one {excerpt(cells['picture'])} belongs.")
        path = table.parent / inner_name(cells["picture"], where)
        picture_rows.append(PictureRow(where, path, cells))
    return picture_rows


def read_landmark_table(file: Path, root: Path | None = None) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Read landmarks from a table with a header, whose columns are separated by tabs, commas or semicolons.

    The first column, `image`, names the image. Columns `five_x0, five_y0, ...` or `left_eye_x, left_eye_y, right_eye_x,
    ..., nose_x, ..., mouth_left_x, ..., mouth_right_x, ...` are the scheme "five", columns `x0, y0, ..., x67, y67` the
    scheme "ibug68"; others are ignored. An empty cell is NaN.

    Args:
        file: The table.
        root: Folder of the images. A name that is an absolute path in it is shortened to the part below it.

    Returns:
        Image name, as `same_name` returns it -> scheme name -> (P, 2) points in pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the header has none of these columns, a row is cut off or not numeric, or two rows contradict
            each other.
    """
    header, rows = read_rows(file, "a table of landmarks")
    schemes = _schemes_of(header)
    if not schemes or header[0] != "image":
        raise ValueError(f"{file} has no column 'image' followed by five_x0 ..., left_eye_x ... or x0 ... y67.")

    points = {int(column) for _, columns in schemes for column in columns.flat}
    table: dict[str, dict[str, NDArray[np.float64]]] = {}
    for number, row in rows:
        try:
            values = np.array([float(row[i]) if i in points and row[i].strip() else np.nan for i in range(len(row))])
        except ValueError:
            raise ValueError(f"{file} line {number} holds something that is not a number.") from None
        name = _image_name(row[0], root)
        landmarks = {scheme: values[columns] for scheme, columns in schemes}
        if name in table and any(not np.array_equal(table[name][key], landmarks[key], True) for key in landmarks):
            raise ValueError(
                f"{file} line {number} gives other landmarks of {excerpt(name)} than an earlier line; keep one."
            )
        table[name] = landmarks
    return table


def read_column(file: Path, column: str, root: Path | None = None) -> dict[str, str]:
    """Read one column of a table that `read_landmark_table` reads.

    Args:
        file: The table.
        column: Name of the column.
        root: Folder of the images, as in `read_landmark_table`.

    Returns:
        Image name, as `same_name` returns it -> cell, without spaces around it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the header has no column `image` or no such column, or a row is cut off.
    """
    header, rows = read_rows(file, f"a table with the columns image and {column}")
    if header[:1] != ["image"] or column not in header:
        raise ValueError(
            f"{file} has no columns 'image' and '{column}'; its first line has {excerpt(', '.join(header))}."
        )
    position = header.index(column)
    return {_image_name(row[0], root): row[position].strip() for _, row in rows}


def require_a_match(file: Path, table: Collection[str], names: Iterable[str]) -> None:
    """Check that a table of landmarks was made for these images.

    Args:
        file: The table, for the message.
        table: Names in the table.
        names: Names of the images, as `same_name` returns them.

    Raises:
        ValueError: If the table names none of the images.
    """
    names = list(names)
    if table and names and not any(name in table for name in names):
        raise ValueError(
            f"{file} names none of the {len(names)} images: its first is {excerpt(next(iter(table)))}, that of the "
            f"folder {names[0]}; use the same names."
        )


def _image_name(cell: str, root: Path | None) -> str:
    """Return the name of an image in a table; an absolute path in `root` is shortened to the part below it."""
    name = same_name(cell)
    if root is not None and posixpath.isabs(name):
        return same_name(os.path.relpath(name, os.path.abspath(root)))
    return name


def _schemes_of(header: list[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """List the landmark schemes of a table, each with the positions (P, 2) of its columns x and y."""
    position = {column: i for i, column in enumerate(header)}
    return [
        (scheme, np.array([[position[x], position[y]] for x, y in columns]))
        for scheme, columns in _COLUMNS
        if all(x in position and y in position for x, y in columns)
    ]


def resized_mask(classes: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a map of classes to its image; each pixel takes the nearest class.

    Args:
        classes: (H, W).
        size: Width and height of the image in pixels.

    Raises:
        ValueError: If the map is of another shape than the image.
    """
    (height, width), (image_width, image_height) = classes.shape, size
    if abs(width * image_height - height * image_width) > max(*classes.shape, *size):  # beyond rounding
        raise ValueError(
            f"the mask of {width} x {height} pixels has another shape than the picture of {image_width} x "
            f"{image_height}"
        )
    return np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))


def read_splits(file: str | Path | None, key: str) -> dict[str, str]:
    """Read the splits of a data set from a JSON file {key: {"train": [names], "val": [...], "test": [...]}}.

    Args:
        file: The JSON file; None yields no splits.
        key: Entry of the data set in the file.

    Returns:
        Name -> split.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not such a JSON file, or a name is in two splits.
    """
    if file is None:
        return {}
    file = Path(file)
    text = read_label_text(file, "the splits as JSON")
    try:
        lists = parse_json(text, file, dict, "repair it")[key]
        pairs = [(name, split) for split in SPLITS for name in _names(lists.get(split, []))]
        splits = dict(pairs)
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{file} is not JSON with an entry '{key}' of lists train, val and test.") from None
    if not splits:
        raise ValueError(f"{file} lists no names of '{key}'.")
    if len(splits) != len(pairs):
        raise ValueError(f"{file} lists a name of '{key}' in two splits.")
    return splits


def _names(names: object) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("no list of names")
    return names


def hash_split(key: str) -> str:
    """Return "val" for about a tenth of all keys and "train" for the others; it depends on the key alone."""
    fraction = int.from_bytes(hashlib.sha256(key.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
    return "val" if fraction < VALIDATION_SHARE else "train"


def split_of(name: str, splits: Mapping[str, str], file: str | Path | None) -> str:
    """Return the split of a name.

    Args:
        name: Name of an image or a person.
        splits: Name -> split, as `read_splits` returns it; without any, `hash_split` decides.
        file: Split file, for the message.

    Raises:
        ValueError: If there are splits, but none for the name.
    """
    if not splits:
        return hash_split(name)
    if name not in splits:
        raise ValueError(f"{file} puts '{name}' in no split; add it to train, val or test.")
    return splits[name]
