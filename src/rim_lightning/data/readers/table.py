"""Images of one folder whose people and landmarks stand in one table."""

from pathlib import Path

from rim_lightning.data.readers.files import (
    excerpt,
    inner_name,
    read_column,
    read_label_text,
    read_landmark_table,
    require_folder,
)
from rim_lightning.data.readers.record import Record


def read_table(
    root: str | Path, table: str | Path, validation_people: str | Path | None = None, people: str = "identity"
) -> list[Record]:
    """List the images that a table names.

    Args:
        root: Folder of the images.
        table: Table of landmarks (see `read_landmark_table`) with one row per image, named by its path below `root`,
            and a column of people. An empty cell is an unknown person.
        validation_people: Text file with one person per line. Their images are for validation, all others for
            training. None: all images are for training.
        people: Name of the column of people.

    Returns:
        Records in the order of the table.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        ValueError: If the table is damaged or has no images, or a validation person is not in it.
    """
    root, table = require_folder(Path(root), "the images of the table"), Path(table)
    landmarks = read_landmark_table(table, root)
    person_of = read_column(table, people, root)
    if not landmarks:
        raise ValueError(f"{table} names no images.")
    validation = _people_in(validation_people)
    unknown = validation - set(person_of.values())
    if unknown:
        raise ValueError(
            f"{validation_people} names '{excerpt(min(unknown))}', who is not in {table}; use the same names."
        )
    records = []
    for name, points in landmarks.items():
        inner_name(name, str(table))
        person = person_of[name] or None
        records.append(Record(name, root / name, person, "val" if person in validation else "train", points))
    return records


def _people_in(file: str | Path | None) -> set[str]:
    if file is None:
        return set()
    return {line.strip() for line in read_label_text(Path(file), "one person per line").splitlines() if line.strip()}
