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
    line is written whole, and is on the disk when `add` returns. Half a line, which a cut of power may leave, is closed
    when the file is opened again.

    Args:
        file: The file. It is made if it is missing.

    Raises:
        ValueError: If its folder cannot be made or written.
        OSError: If it cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        check_folder(file.parent, "folder for the log")
        self._lock = threading.Lock()
        self._number = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        size = os.fstat(self._number).st_size
        if size and os.pread(self._number, 1, size - 1) != b"\n":
            os.write(self._number, b"\n")

    def add(self, user: str, question: str, answer: dict[str, Any]) -> None:
        """Add a line.

        Args:
            user: Name of the key that asked; "" without keys.
            question: What was asked.
            answer: What is answered.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, "user": user, "question": question, "answer": answer}, allow_nan=False)
        with self._lock:
            content = line.encode() + b"\n"
            while content:
                content = content[os.write(self._number, content) :]
            os.fsync(self._number)

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)
