"""The folder of a record: `record.json`, copies of the pictures, and a digest of the record."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_lightning.data.images import read_content, read_image
from rim_lightning.data.picture_limits import MAX_FILE
from rim_lightning.files import (
    check_folder,
    content_digest,
    finite,
    printable,
    put_in_place,
    read_bytes,
)
from rim_lightning.json_files import parse_json
from rim_lightning.locks import process_lock
from rim_lightning.schema import checked

if TYPE_CHECKING:
    from rim_lightning.case.record_schema import CaseRecord, PictureSide

MOST_PICTURES = 1000
"""Most probes and gallery pictures of one record."""
RECORD, RECORD_DIGEST, CALIBRATION = "record.json", "record.json.sha256", "calibration.json"
PICTURES, ILLUSTRATIONS = "pictures", "illustrations"
ADVICE = "take an unaltered copy of the record"
LARGEST = 64 * 2**20
"""Largest `record.json` in bytes."""
UNUSABLE = ("missing", "too large", "a link")
"""What may be the matter with a file of a record, other than its content. Links could lead anywhere."""

_PART = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.\d{6}\.part")
"""Name of the hidden folder in which a record is made."""
_LOCK, _HELD = "record.lock", "record.held"
"""Files in it: the lock of the process that makes the record, and a mark that says that this lock was taken."""


class RecordWriter:
    """A record that is being made. It appears whole in its place, or not at all, and replaces nothing.

    It is made in a hidden folder. Those of processes that were killed are removed first: the system frees the lock that
    a process holds in its folder when the process ends.

    Args:
        home: Folder of all records. It is made if it is missing.
        moment: Date and time of the answer, with a time zone. It names the record.

    Attributes:
        moment: The same; a few microseconds later if there is a record of that name.
        pictures: The pictures of which there are copies, as entries of a record.

    Raises:
        ValueError: If nothing can be written to the folder.
        OSError: If the disk is full.
    """

    def __init__(self, home: Path, moment: datetime) -> None:
        check_folder(home, "folder for the records")
        _remove_leftovers(home)
        while True:
            self._place = home / f"{moment:%Y-%m-%d_%H-%M-%S.%f}"
            self._part = home / f".{self._place.name}.part"
            try:
                os.mkdir(self._part, 0o700)  # nobody else makes a record of this name
            except FileExistsError:
                moment += timedelta(microseconds=1)
                continue
            if not os.path.lexists(self._place):
                break
            self._part.rmdir()
            moment += timedelta(microseconds=1)
        self._record = self._part / "record"
        self._lock = process_lock(self._part / _LOCK)
        self.moment = moment
        self.pictures: list[dict[str, Any]] = []
        self._failure: Exception | None = None
        self._kept: dict[tuple[str, str], Path] = {}  # (side, path as given) -> copy
        try:
            with suppress(ValueError):  # a disk without locks: then nobody can tell whether this process still lives
                self._lock.acquire(timeout=0)
                (self._part / _HELD).touch()
            for folder in (self._record, self._record / PICTURES, self._record / ILLUSTRATIONS):
                os.mkdir(folder, 0o700)
        except OSError as error:
            self.discard()
            raise OSError(error.errno, error.strerror, str(self._place)) from error

    def keep(self, picture: Path, side: PictureSide, name: str | None = None) -> Path:
        """Copy a picture into the record. What is answered is answered from the copy.

        Args:
            picture: The picture.
            side: What it is.
            name: Its name in the record; by default its path.

        Returns:
            The copy.

        Raises:
            ImageError: If it is no picture that can be read, or another one has the same name on a terminal.
            FileNotFoundError: If there is no such picture.
            OSError: If it cannot be read or copied.
        """
        given = side, str(picture)
        if given in self._kept:
            return self._kept[given]
        name = printable(str(picture) if name is None else name)
        if any((entry["side"], entry["name"]) == (side, name) for entry in self.pictures):
            error = ValueError(f"Two pictures have the name {name}: rename one of them.")
            raise error if side == "hit" else self._failed(error)
        try:
            check_count(sum(entry["side"] != "hit" for entry in self.pictures) + (side != "hit"))
        except ValueError as error:
            raise self._failed(error) from None
        content = read_content(picture, name)
        height, width = read_image(content, name).shape[:2]
        suffix = picture.suffix.lower()
        file = f"{side}_{len(self.pictures) + 1}{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"
        self.pictures.append(
            {
                "side": side,
                "name": name,
                "file": file,
                "sha256": self._write(f"{PICTURES}/{file}", content),
                "width": width,
                "height": height,
            }
        )
        self._kept[given] = self._record / PICTURES / file
        return self._kept[given]

    def positions(self) -> dict[tuple[str, str], int]:
        """Return (side, name) of each picture -> its position in the list."""
        return {(entry["side"], entry["name"]): place for place, entry in enumerate(self.pictures)}

    def keep_illustration(self, file: str, content: bytes) -> dict[str, str]:
        """Write a picture that the network made, and return its entry in the record."""
        return {"file": file, "sha256": self._write(f"{ILLUSTRATIONS}/{file}", content)}

    def keep_calibration(self, calibration: Path) -> str:
        """Copy the file of a calibration into the record, and return its SHA-256."""
        return self._write(CALIBRATION, read_bytes(calibration))

    def finish(self, content: dict[str, Any]) -> tuple[Path, str]:
        """Write the record, and move the folder to its place.

        Args:
            content: What `CaseRecord` describes, without `pictures` and `made`.

        Returns:
            The folder, and the SHA-256 of `record.json`.

        Raises:
            ValueError: If the content is not as `CaseRecord` describes it, or there are too many pictures.
            OSError: If it, or one of the pictures before, could not be written.
        """
        if self._failure is not None:
            raise self._failure
        from rim_lightning.case.record_schema import CaseRecord

        content = content | {"pictures": self.pictures, "made": self.moment.isoformat(timespec="microseconds")}
        content = json.loads(json.dumps(finite(content), allow_nan=False))
        content = checked(CaseRecord, content, "The record", "please report it").model_dump()
        digest = self._write(RECORD, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        self._write(RECORD_DIGEST, f"{digest}  {RECORD}\n".encode())
        put_in_place(self._record, self._place)
        return self._place, digest

    def discard(self) -> None:
        """Remove what was written, unless the record is finished."""
        self._lock.release()
        shutil.rmtree(self._part, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> str:
        """Write a file that only this user can read, and return its SHA-256."""
        place = self._record / name
        try:
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        except OSError as error:
            raise self._failed(OSError(error.errno or errno.EIO, error.strerror, str(self._place))) from error
        return hashlib.sha256(content).hexdigest()

    def _failed(self, error: Exception) -> Exception:
        """Remember an error of the record: a command that leaves a picture out must not finish without it."""
        self._failure = error
        return error


def check_count(pictures: int) -> None:
    """Raise ValueError if a record cannot hold so many probes and gallery pictures."""
    if pictures > MOST_PICTURES:
        raise ValueError(f"A record holds {MOST_PICTURES:,} pictures at most: ask in several parts.")


def read_record(folder: Path) -> CaseRecord:
    """Read a record, which anybody may have written.

    Args:
        folder: Folder of the record.

    Returns:
        The record.

    Raises:
        FileNotFoundError: If there is no record.
        ValueError: If it is damaged, or something else.
    """
    from rim_lightning.case.record_schema import CaseRecord

    file = folder / RECORD
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is no record of rim: it has no {RECORD}.")
    if file.is_symlink():
        raise ValueError(f"{file} is a link: {ADVICE}.")
    return checked(CaseRecord, parse_json(read_bytes(file, ADVICE, LARGEST), file, dict, ADVICE), file, ADVICE)


def altered_files(folder: Path, record: CaseRecord) -> list[tuple[str, str, str]]:
    """Return the files of a record that are not what was recorded.

    Args:
        folder: Folder of the record.
        record: Its content.

    Returns:
        (file, SHA-256 as recorded, SHA-256 now) of each; one of `UNUSABLE` in place of one that is not there.
    """
    expected = [(RECORD, _recorded_digest(folder / RECORD_DIGEST))]
    expected += [(f"{PICTURES}/{picture.file}", picture.sha256) for picture in record.pictures]
    made = [illustration for face in record.faces for illustration in face.illustrations.values()]
    expected += [(f"{ILLUSTRATIONS}/{picture.file}", picture.sha256) for picture in made]
    if record.thresholds.file is not None:
        expected.append((CALIBRATION, record.thresholds.file))
    now = [(file, digest, _digest_or_state(folder, file)) for file, digest in expected]
    return [(file, recorded, current) for file, recorded, current in now if recorded != current]


def check_unaltered(folder: Path, record: CaseRecord) -> None:
    """Raise ValueError if a file of a record is not what was recorded."""
    for file, recorded, now in altered_files(folder, record):
        state = f"is {now}" if now in UNUSABLE else f"was altered (SHA-256 {now}, recorded {recorded})"
        raise ValueError(f"{folder / file} {state}: {ADVICE}.")


def check_complete(folder: Path, record: CaseRecord) -> None:
    """Raise ValueError if a file that the answer was made of cannot be opened. Altered ones can."""
    needed = [f"{PICTURES}/{picture.file}" for picture in record.pictures if picture.side != "hit"]
    for file in [*needed, *([] if record.thresholds.file is None else [CALIBRATION])]:
        if (state := _digest_or_state(folder, file)) in UNUSABLE:
            raise ValueError(f"{folder / file} is {state}: {ADVICE}.")


def _recorded_digest(file: Path) -> str:
    if file.is_symlink():
        return "a link"
    try:
        words = read_bytes(file, ADVICE, 1000).decode("utf-8", "replace").split()
    except OSError:
        return "missing"
    return words[0].lower() if words else "missing"  # some programs write digests in capitals


def _digest_or_state(folder: Path, name: str) -> str:
    """Return the SHA-256 of a file of a record, or which of `UNUSABLE` it is."""
    file = folder / name
    try:
        if file.is_symlink() or (file.parent != folder and file.parent.is_symlink()):
            return "a link"
        return content_digest(file) if file.stat().st_size <= MAX_FILE else "too large"
    except OSError:
        return "missing"


def _remove_leftovers(home: Path) -> None:
    """Remove hidden folders in which a process that has ended was making a record."""
    parts: list[Path] = []
    with suppress(OSError):  # a folder that may be written to, but not listed
        parts = [path for path in home.iterdir() if _PART.fullmatch(path.name)]
    for part in parts:
        with suppress(OSError, ValueError):  # those of others cannot be opened, the lock of a living process not taken
            if part.is_symlink() or not (part / _HELD).is_file():
                continue
            with process_lock(part / _LOCK).acquire(timeout=0):
                pass
            shutil.rmtree(part, ignore_errors=True)
