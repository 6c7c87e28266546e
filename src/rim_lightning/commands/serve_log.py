"""The log of a service: one line of JSON for each answer, on the disk before the answer is sent."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rim_lightning.files import check_folder


class DecisionLog:
    """A file of lines that only grows. Nobody but its user can open it.

    Each line is one JSON object: time, name of the key, question, and the answer with the digests of the pictures. A
    line is written whole, and is on the disk when `add` returns. Half a line, which a cut of power or a full disk may
    leave, is closed before the next one. A file that was moved or removed is made again.

    Args:
        file: The file. It is made if it is missing.

    Raises:
        ValueError: If its folder cannot be made or written.
        OSError: If it cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        check_folder(file.parent, "folder for the log")
        self._lock = threading.Lock()
        self._file = file
        self._number = self._opened()

    def begin(self, user: str, question: str, change: dict[str, Any]) -> None:
        """Add the line of a change before it is made, so that none is without a line; see `add`.

        Args:
            user: Name of the key that asked; "" without keys.
            question: What was asked.
            change: What will be changed.
        """
        self._write({"user": user, "question": question, "begun": change})

    def add(self, user: str, question: str, answer: dict[str, Any]) -> None:
        """Add the line of an answer.

        Args:
            user: Name of the key that asked; "" without keys.
            question: What was asked.
            answer: What is answered.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        self._write({"user": user, "question": question, "answer": answer})

    def _write(self, content: dict[str, Any]) -> None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, **content}, allow_nan=False)
        with self._lock:
            self._find_again()
            rest = line.encode() + b"\n"
            while rest:
                rest = rest[os.write(self._number, rest) :]
            os.fsync(self._number)

    def _opened(self) -> int:
        return os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def _find_again(self) -> None:
        """Open the file again if it was moved or removed, and close half a line."""
        try:
            there = os.path.samestat(os.stat(self._file), os.fstat(self._number))
        except FileNotFoundError:
            there = False
        if not there:
            number = self._opened()
            os.close(self._number)
            self._number = number
        if size := os.fstat(self._number).st_size:
            os.lseek(self._number, size - 1, os.SEEK_SET)
            if os.read(self._number, 1) != b"\n":
                os.write(self._number, b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)
