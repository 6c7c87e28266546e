"""Pictures that arrive in a folder: each once it is complete, and none twice. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.listing import list_folder
from rim_lightning.files import read_bytes, write_text
from rim_lightning.json_files import checked_line, from_checked_line


class Stamp(NamedTuple):
    """What tells whether a file has changed: its size in bytes, and the time of its last change in nanoseconds."""

    size: int
    changed: int


class Arrivals:
    """The pictures of a folder that were not answered yet, with a file that remembers those that were.

    A picture is complete when two successive polls find it with the same size and time of its last change. One that
    changes after it was answered counts as another picture.

    Args:
        folder: The folder.
        question: What is asked about each picture; another question has a memory of its own.

    Attributes:
        memory: The file, in the folder. Its name begins with a dot, so that no command takes it for a picture.
        answered: Path in the folder -> stamp, of the pictures that were answered.

    Raises:
        NotADirectoryError: If there is no such folder.
        OSError: If the file cannot be written.
    """

    def __init__(self, folder: Path, question: str) -> None:
        self.folder = folder
        names = {self._key(path) for path in list_folder(folder).pictures}
        self.memory = folder / f".rim_watch_{hashlib.sha256(question.encode()).hexdigest()[:12]}.jsonl"
        content = read_bytes(self.memory, "remove it") if self.memory.exists() else b""
        self.answered = {name: stamp for name, stamp in _lines(content).items() if name in names}
        self._seen: dict[str, Stamp] = {}
        for part in folder.glob(f".{self.memory.name}.*.part"):  # of a process that was killed while it wrote
            part.unlink()
        write_text(self.memory, "".join(_line(name, stamp) for name, stamp in self.answered.items()))

    def poll(self) -> list[Path]:
        """Return the pictures that are complete and were not answered, in the order of their last change.

        Raises:
            NotADirectoryError: If the folder is gone.
        """
        seen: dict[str, Stamp] = {}
        complete: list[tuple[int, Path]] = []
        for path in list_folder(self.folder).pictures:
            name = self._key(path)
            try:
                stamp = _stamp_of(path)
            except OSError:  # it has just been moved away
                continue
            if self.answered.get(name) != stamp:
                seen[name] = stamp
                if self._seen.get(name) == stamp:
                    complete.append((stamp.changed, path))
        self._seen = seen
        return [path for _, path in sorted(complete)]

    def remember(self, path: Path) -> None:
        """Note that a picture which `poll` returned was answered.

        Raises:
            OSError: If the file cannot be written.
        """
        name = self._key(path)
        self.answered[name] = self._seen[name]
        with self.memory.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(_line(name, self.answered[name]))
            file.flush()
            os.fsync(file.fileno())

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _stamp_of(path: Path) -> Stamp:
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def _line(name: str, stamp: Stamp) -> str:
    """Return the line of a picture. Bytes of names that are no UTF-8 become escapes of JSON."""
    return checked_line([name, *stamp]).decode()


def _lines(content: bytes) -> dict[str, Stamp]:
    """Read lines of `_line`. Those that are damaged do not count: their pictures are answered again."""
    answered = {}
    for line in content.splitlines():
        try:
            name, size, changed = from_checked_line(line)
            answered[str(name)] = Stamp(int(size), int(changed))
        except (ValueError, TypeError):  # damaged, or somebody else wrote it
            continue
    return answered
