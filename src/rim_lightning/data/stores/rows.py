"""Arrays on disk that are read row by row, so that a file which shrinks while it is read is an error with a name.

A memory map of such a file would end the process by SIGBUS, without a word.
"""

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RowFile:
    """The array of a .npy file, read like an (N, ...) array. Nothing of it is kept in memory.

    Threads and forked processes may share it. Rows of the result are read-only.

    Args:
        file: The file.

    Attributes:
        shape: Shape of the array.
        dtype: Type of its numbers.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is no whole .npy file of rows.
    """

    def __init__(self, file: Path) -> None:
        header = np.lib.format.open_memmap(file, mode="r")  # checks the length too
        if header.ndim == 0 or not header.flags.c_contiguous:
            raise ValueError(f"{file} holds no rows.")
        self.file = file
        self.shape: tuple[int, ...] = header.shape
        self.dtype: np.dtype[Any] = header.dtype
        self._start: int = header.offset
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        self._descriptor = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read one row, or several as a stack; further axes are indexed in memory.

        Raises:
            IndexError: If there is no such row.
            OSError: If the file cannot be read.
            ValueError: If the file has been cut off since it was opened.
        """
        rows, *within = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(len(self))[rows]
        if numbers.ndim == 0:
            return self._row(int(numbers))[tuple(within)]
        stack = [self._row(int(number))[tuple(within)] for number in numbers]
        return np.stack(stack) if stack else np.empty((0, *self.shape[1:]), self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    def _row(self, number: int) -> NDArray[Any]:
        try:
            content = os.pread(self._descriptor, self._row_bytes, self._start + number * self._row_bytes)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.file)) from error
        if len(content) < self._row_bytes:
            raise ValueError(f"{self.file} was cut off while it was read: delete {self.file.parent} and make it again.")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


def open_rows(file: Path) -> RowFile | NDArray[Any]:
    """Open the array of a .npy file for reading, row by row if the system can read at a position.

    Windows cannot. It lets nobody shorten a file that is mapped.

    Args:
        file: The file.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is no whole .npy file of rows.
    """
    return RowFile(file) if hasattr(os, "pread") else np.lib.format.open_memmap(file, mode="r")
