"""Files of a data set that its reader does not use, each with the reason: nothing is skipped in silence."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.data.face_notes import face_notes
from rim_lightning.data.listing import list_folder, why_not
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.files import printable, write_text

LEFT_OUT = "left_out.tsv"
"""File in a store: name and reason of every file of the source that is not in the store."""

NOTES = "notes.tsv"
"""File in a store: pictures that were turned, and those with several faces, of which one was taken."""


class UnusedFiles(NamedTuple):
    """Files of a data set that are not among its records.

    Attributes:
        reasons: Name in the data set -> the end of a sentence that begins with it, without a period.
        hidden: Names of hidden and system files and folders.
    """

    reasons: dict[str, str]
    hidden: list[str]


def unused_files(records: Sequence[Record], own: Iterable[str | os.PathLike] = ()) -> UnusedFiles:
    """List the files beside the images of a data set that its reader does not use.

    The folders that are searched follow from the records: the name of a record is the last part of its path, and what
    is left of the path is the folder. Beside a file that holds many pictures nothing is searched.

    Args:
        records: Images that a reader returned.
        own: Other files that were read, such as tables of landmarks, and folders that this package wrote, such as the
            prepared store.

    Returns:
        The files, sorted by folder and name. Landmarks beside an image (`.pts`) count as used if the image has any.
    """
    used = {Path(os.path.abspath(path)) for path in own}
    records_of: dict[Path, list[Record]] = {}
    for record in records:
        if record.load_content is not None:
            continue
        used.add(Path(os.path.abspath(record.image)))
        if record.landmarks:
            used.add(Path(os.path.abspath(record.image.with_suffix(".pts"))))
        if record.image.is_file():  # a missing image is reported when it is prepared
            records_of.setdefault(_folder_of(record), []).append(record)
    unused = UnusedFiles({}, [])
    for folder, images in sorted(records_of.items()):
        listing = list_folder(folder)
        layout = _Layout.of(folder, images)
        unused.hidden.extend(_name(path, folder) for path in listing.hidden)
        for path in listing.pictures:
            if Path(os.path.abspath(path)) not in used:
                unused.reasons[_name(path, folder)] = layout.reason(path)
        for path in listing.others:
            place = Path(os.path.abspath(path))
            if used.isdisjoint((place, *place.parents)):
                unused.reasons[_name(path, folder)] = why_not(path).reason
    return unused


def files_among(arguments: Mapping[str, Any]) -> list[str]:
    """Return those of the arguments of a reader that are paths of files, such as tables of landmarks."""
    return [value for value in arguments.values() if isinstance(value, str) and os.path.isfile(value)]


def left_out_files(store: PreparedStore, unused: UnusedFiles) -> list[dict[str, str]]:
    """Return name and reason of every file of a data set that is not in its store."""
    files = [{"name": name, "reason": reason} for name, reason in unused.reasons.items()]
    return [*store.manifest["skipped"], *files]


def detection_notes(store: PreparedStore) -> list[dict[str, str]]:
    """Return name and remark (`reason`) of every picture that was turned, or shows several faces."""
    return [
        {"name": sample["name"], "reason": note}
        for sample in store.manifest["samples"]
        for note in face_notes(sample.get("faces", 1), sample.get("turned"), "the one nearest to the center")
    ]


def write_list(folder: Path, entries: Sequence[Mapping[str, str]], name: str = LEFT_OUT) -> Path | None:
    """Write a list of pictures, such as `LEFT_OUT` or `NOTES` of a store, unless it is there already.

    Args:
        folder: Folder to write to.
        entries: Name and reason, or remark, of each picture. Without any the file is removed.
        name: Name of the file.

    Returns:
        The file. None if the folder cannot be written to.
    """
    file = folder / name
    text = "".join(f"{entry['name']}\t{entry['reason']}\n" for entry in entries)
    try:
        if not entries:
            file.unlink(missing_ok=True)
        elif not file.is_file() or file.read_text(encoding="utf-8", errors="replace") != text:
            write_text(file, text)
    except (OSError, UnicodeError):  # a finished folder on a disk that is read-only, or a name that is no text
        return None
    return file


class _Layout(NamedTuple):
    """How the images that are used lie in their folder: the numbers of folders above them, and people or not."""

    folder: Path
    least: int
    most: int
    people: bool

    @classmethod
    def of(cls, folder: Path, records: Sequence[Record]) -> "_Layout":
        depths = {len(record.image.relative_to(folder).parts) - 1 for record in records}
        return cls(folder, min(depths), max(depths), any(record.identity is not None for record in records))

    def reason(self, picture: Path) -> str:
        """Say why an image was not used, and what to do."""
        depth = len(picture.relative_to(self.folder).parts) - 1
        if depth < self.least:
            what = "the folder of its person" if self.people else "one of the folders that are read"
            return f"lies outside the folders that are read: move it into {what}"
        if depth > self.most:
            where = "<person>/<picture>" if self.people else "the folder that is read"
            return f"lies deeper than {where}: move it up"
        return "is not in this data set: its reader does not name it"


def _folder_of(record: Record) -> Path:
    """Return the folder of which the name of a record is a path; the folder of the image if the name is no path."""
    parts = Path(record.name).parts
    if record.image.parts[-len(parts) :] == parts:
        return Path(*record.image.parts[: -len(parts)])
    return record.image.parent


def _name(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix())
