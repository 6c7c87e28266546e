"""Groups of people, such as by sex or age: a table with a person and a group in each line."""

from pathlib import Path

from rim_lightning.data.readers.files import numbered_rows, read_label_text

_COLUMNS = ["person", "group"]


def read_groups(file: str | Path) -> dict[str, str]:
    """Read a comma-separated table with the header `person,group`.

    Args:
        file: The table.

    Returns:
        Name of the person -> name of the group.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the header or a line is wrong, a person stands in two groups, or there are fewer than two groups.
    """
    file = Path(file)
    text = read_label_text(file, "a table with the header person,group")
    (_, header), *rows = numbered_rows(file, text, ",") or [(0, [])]
    if header != _COLUMNS:
        raise ValueError(f"{file} does not begin with the header person,group.")
    groups: dict[str, str] = {}
    for number, row in rows:
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise ValueError(f"{file} line {number} is not 'person,group'.")
        person, group = (cell.strip() for cell in row)
        if groups.setdefault(person, group) != group:
            raise ValueError(f"{file} line {number} puts {person} into {group}, an earlier one into {groups[person]}.")
    if len(set(groups.values())) < 2:
        raise ValueError(f"{file} has fewer than two groups: there is nothing to compare.")
    return groups
