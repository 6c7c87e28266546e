"""The pictures of a folder or table as a gallery compares them: person, path and content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.listing import Listing, list_pictures
from rim_lightning.data.readers.files import excerpt, read_picture_rows
from rim_lightning.files import content_digest, in_threads, printable, real_path
from rim_lightning.gallery.names import checked_person, person_of, utf8_text


class FolderPicture(NamedTuple):
    """A picture of a folder or table.

    Attributes:
        person: Name of the person.
        source: Absolute path.
        digest: SHA-256 of the file.
    """

    person: str
    source: str
    digest: str


class PictureSet(NamedTuple):
    """Pictures that are enrolled together: those of a folder, or those that a table names.

    Attributes:
        place: The folder or table.
        listing: Its files, whose paths begin with `folder`. A table names pictures alone.
        people: Picture -> name of its person, as a table says it. None for a folder, whose paths say it.
    """

    place: Path
    listing: Listing
    people: Mapping[Path, str] | None = None

    @property
    def folder(self) -> Path:
        """The folder in which all pictures lie: that of the table if there is one."""
        return self.place if self.people is None else self.place.parent

    @property
    def root(self) -> str:
        """The absolute path of the folder or table, which every template keeps."""
        return str(real_path(self.place))

    def person_of(self, picture: Path) -> str:
        """Return the person of a picture. Raises UnicodeError if the name is not UTF-8."""
        return person_of(picture, self.folder) if self.people is None else self.people[picture]


def picture_set(place: Path) -> PictureSet:
    """List the pictures of a folder, or of a table whose name ends in .csv; see `read_people_table`.

    Args:
        place: The folder or table.

    Returns:
        Its pictures, at least one, sorted by path.

    Raises:
        ImageError: If the folder holds no picture.
        NotADirectoryError: If there is no such folder.
        FileNotFoundError: If there is no such table, or it names a picture that does not exist.
        ValueError: If the table is wrong.
    """
    if not is_table(place):
        return PictureSet(place, list_pictures(place))
    people = read_people_table(place)
    return PictureSet(place, Listing(sorted(people), [], []), people)


def is_table(path: Path) -> bool:
    """Return True if a path has the ending of a table."""
    return path.suffix.lower() == ".csv" and not path.is_dir()


def read_people_table(table: Path) -> dict[Path, str]:
    """Read a table with the columns `picture` and `person`. Other columns are not read.

    Args:
        table: The table. Its columns are separated by tabs, commas or semicolons; paths of pictures are relative to it.

    Returns:
        Picture -> name of the person in Unicode's composed form (NFC). A picture that stands in several rows is
        returned once.

    Raises:
        FileNotFoundError: If there is no such table, or it names a picture that does not exist.
        ValueError: If it is damaged, lacks a column or rows, names a picture outside of its folder, a person by no
            usable name, or two people for one picture.
    """
    people: dict[Path, str] = {}
    earlier: dict[Path, tuple[str, str]] = {}
    for where, path, cells in read_picture_rows(table, "person"):
        shown = excerpt(cells["picture"])
        try:
            person = checked_person(cells["person"])
        except ValueError as error:
            raise ValueError(f"{where} names {excerpt(cells['person'])!r} as a person. {error}") from None
        if not path.is_file():
            fault = "is no regular file" if path.exists() else "does not exist"
            raise FileNotFoundError(f"{where} names the picture {shown}, which {fault}: correct or remove the line.")
        before, line = earlier.setdefault(real_path(path), (person, where))
        if before != person:
            raise ValueError(
                f"{where} names {person!r} for the picture {shown}, and line {line.rpartition(' ')[2]} names "
                f"{before!r}: keep one of the two."
            )
        people[path] = person
    return people


def read_pictures(
    pictures_of: PictureSet, progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> tuple[list[FolderPicture], dict[str, str]]:
    """Read the content of pictures for their digests. Size and date of a file would not do: copying tools keep them.

    Args:
        pictures_of: The pictures.
        progress: Wraps the list of files in a progress bar.

    Returns:
        The pictures in the order of the files, and path -> reason for those that cannot be read.
    """
    root, files = real_path(pictures_of.folder), pictures_of.listing.pictures
    pictures: list[FolderPicture] = []
    left_out: dict[str, str] = {}
    results = in_threads(lambda path: _picture_or_error(path, pictures_of, root), files)
    for path, result in zip(progress(files), results, strict=True):
        if isinstance(result, FolderPicture):
            pictures.append(result)
        else:
            name = printable(str(path)) if isinstance(result, UnicodeError) else str(path)
            left_out[name] = reason_of(result, name)
    return pictures, left_out


def reason_of(error: OSError | ValueError, name: str) -> str:
    """Return one sentence that says why a picture was left out.

    Args:
        error: Exception that was raised.
        name: Name of the picture.

    Returns:
        Message of the exception. For an error of the operating system it is "<name>: <reason>".
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return str(error)


def _picture_or_error(path: Path, pictures_of: PictureSet, root: Path) -> FolderPicture | OSError | ValueError:
    try:
        source = utf8_text(root / path.relative_to(pictures_of.folder))
        return FolderPicture(pictures_of.person_of(path), source, content_digest(path))
    except (OSError, ValueError) as error:
        return error
