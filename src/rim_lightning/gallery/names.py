"""Names of people: from the paths of their pictures, in one form, and compared with each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from rim_lightning.files import printable

LONGEST_NAME = 200  # letters
REPLACED = "\ufffd"  # what stands for bytes that are no UTF-8


def unicode_name(name: str) -> str:
    """Return a name as a gallery writes it, in Unicode's composed form (NFC): keyboards and disks use others."""
    return unicodedata.normalize("NFC", name)


def utf8_text(name: str | Path) -> str:
    """Return a name of the file system as text, which must be UTF-8.

    Args:
        name: Name or path.

    Returns:
        The same as a string.

    Raises:
        UnicodeError: If the name is not UTF-8.
    """
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise UnicodeError(f"the name {printable(str(name))} is not UTF-8 text: rename the file or folder.") from None
    return str(name)


def checked_person(name: str) -> str:
    """Return the name of a person as galleries hold it.

    Raises:
        ValueError: If it is empty, too long, not printable or not UTF-8, or has a slash.
    """
    name = unicode_name(name).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or "/" in name or REPLACED in name:
        raise ValueError(f"A person needs a name of 1 to {LONGEST_NAME} printable letters of UTF-8, without a slash.")
    return name


def person_of(path: Path, folder: Path) -> str:
    """Return the person of a picture.

    Args:
        path: The picture.
        folder: Folder that contains it. The person is the first folder below it; for a picture directly in it, the name
            of the file without its ending.

    Returns:
        The name in Unicode's composed form (NFC).

    Raises:
        UnicodeError: If the name is not UTF-8.
    """
    parts = path.relative_to(folder).parts
    return unicode_name(utf8_text(parts[0] if len(parts) > 1 else path.stem))


def alike_names(names: Iterable[str]) -> list[list[str]]:
    """Return names that differ only in case, spaces or the Unicode form of their letters.

    Args:
        names: Names of people or of their folders.

    Returns:
        Groups of at least two names, sorted.
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
