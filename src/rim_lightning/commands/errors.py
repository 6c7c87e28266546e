"""How a command ends when something goes wrong: one sentence, and an exit code that is not 0."""

from __future__ import annotations


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the file'}: {error.strerror}"
    return str(error)
