"""JSON files that somebody else may have written: bounded in size and depth, and without NaN. Imports no torch."""

import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from rim_lightning.files import read_bytes

T = TypeVar("T")

LARGEST = 64 * 2**20
"""Largest file in bytes that is read, where the reader does not say otherwise."""
DEEPEST = 64
"""Most containers within each other. What is written here has at most seven."""
LARGEST_INTEGER = 2**63
ADVICE = "remove it, or make it again"


def read_json(path: str | Path, kind: type[T], advice: str = ADVICE, largest: int = LARGEST) -> T:
    """Read a JSON file. NaN, infinity and numbers beyond the range of a computer's numbers are errors.

    Args:
        path: File to read.
        kind: Type of its content: `dict` or `list`; `object` for any.
        advice: What the user can do if the file is damaged.
        largest: Largest size of the file in bytes.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If the file is damaged or too large, or holds something else. The message names the place.
    """
    return parse_json(read_bytes(path, advice, largest), path, kind, advice)


def parse_json(content: bytes | str, name: object, kind: type[T], advice: str = ADVICE) -> T:
    """Parse JSON.

    Args:
        content: The JSON, UTF-8.
        name: File that it is from, for messages.
        kind: As of `read_json`.
        advice: As of `read_json`.

    Raises:
        ValueError: If it is damaged, or holds something else. The message names the place.
    """
    unusable: list[_Text] = []

    def refuse(text: str) -> _Text:
        unusable.append(_Text(text))
        return unusable[-1]

    def number(text: str) -> float | _Text:
        return float(text) if math.isfinite(float(text)) else refuse(text)

    def integer(text: str) -> int | _Text:
        return int(text) if len(text) <= 20 and abs(int(text)) <= LARGEST_INTEGER else refuse(text)

    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        parsed = json.loads(text, parse_constant=refuse, parse_float=number, parse_int=integer)
    except RecursionError:
        raise _too_deep(name, advice) from None
    except ValueError as error:
        raise ValueError(f"{name} is damaged, it is no JSON file ({error}): {advice}.") from None
    _check_depth(parsed, name, advice)
    if unusable:
        place, shown = next(_places_of_text(parsed))
        raise ValueError(f"{name}: {place} is {shown}, which is no number that a computer has: {advice}.")
    if not isinstance(parsed, kind):
        wanted = "names and values" if kind is dict else "list"
        raise ValueError(f"{name} holds no {wanted}: {advice}.")
    return parsed


def place_of(keys: tuple[int | str, ...]) -> str:
    """Return the name of a place in a JSON file.

    Example:
        >>> place_of(("calibration", "thresholds", 3))
        'calibration.thresholds[3]'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def checked_line(content: Any) -> bytes:
    r"""Return plain containers as a line of JSON that begins with its checksum, for a file to which lines are added.

    Example:
        >>> checked_line(["a.png", 0.5])
        b'29ef3bfb ["a.png", 0.5]\n'
    """
    text = json.dumps(content).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def from_checked_line(line: bytes) -> Any:
    """Return the content of a line of `checked_line`.

    Args:
        line: The line. Its end may be missing.

    Returns:
        The content.

    Raises:
        ValueError: If the line is damaged or cut off.
    """
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        raise ValueError("the line is damaged")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the line is nested too deeply") from None


class _Text(str):
    """A number that cannot be used, as it stands in the file."""


def _places_of_text(content: Any) -> Iterator[tuple[str, str]]:
    """Yield place and text of the numbers that cannot be used."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), content)]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, _Text):
            yield place_of(keys) or "the content", value if len(value) < 40 else f"{value[:20]}… ({len(value)} digits)"
        elif isinstance(value, dict | list):
            entries = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += reversed([((*keys, key), entry) for key, entry in entries])


def _check_depth(content: Any, name: object, advice: str) -> None:
    """Raise ValueError if containers are nested too deeply for what reads them."""
    level = [content]
    for _ in range(DEEPEST):
        level = [
            entry
            for container in level
            if isinstance(container, dict | list)
            for entry in (container.values() if isinstance(container, dict) else container)
            if isinstance(entry, dict | list)
        ]
        if not level:
            return
    raise _too_deep(name, advice)


def _too_deep(name: object, advice: str) -> ValueError:
    return ValueError(f"{name} is nested too deeply, more than {DEEPEST} levels: {advice}.")
