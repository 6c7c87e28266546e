"""What differs between a record and what is answered today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

CONTEXT = ("model", "thresholds", "gallery", "versions")
"""Entries of a record that may explain a difference of an answer, and are none themselves."""
ANSWERS = ("faces", "verifications", "searches")
"""Entries that a replay must repeat bit for bit."""
NOT_REPEATED = ("illustrations", "picture", "state")
"""Names of entries that are not compared: pictures for people, and what became of the pictures of a gallery since."""


class ChangedEntry(NamedTuple):
    """An entry of a record that is another one now.

    Attributes:
        place: Where it stands in the record, such as `verifications[0].similarity`.
        recorded: What the record says; None if it says nothing.
        now: What holds now.
    """

    place: str
    recorded: Any
    now: Any

    def in_words(self) -> str:
        """Return the difference on one line, with numbers to their last bit.

        Example:
            >>> ChangedEntry("verifications[0].similarity", 0.1, 0.30000000000000004).in_words()
            'verifications[0].similarity: recorded 0.1, now 0.30000000000000004'
        """
        return f"{self.place}: recorded {_shown(self.recorded)}, now {_shown(self.now)}"


def differences(recorded: Any, now: Any, place: str = "") -> Iterator[ChangedEntry]:
    """Yield the entries in which two plain containers differ. Numbers are compared bit for bit.

    Args:
        recorded: Plain containers.
        now: Plain containers of the same form.
        place: Where they stand.
    """
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for name in [*recorded, *(name for name in now if name not in recorded)]:
            if name not in NOT_REPEATED:
                inner = f"{place}.{name}" if place else str(name)
                yield from differences(recorded.get(name), now.get(name), inner)
    elif isinstance(recorded, list) and isinstance(now, list):
        if len(recorded) != len(now):
            yield ChangedEntry(f"number of {place}", len(recorded), len(now))
        for index, (before, after) in enumerate(zip(recorded, now, strict=False)):
            yield from differences(before, after, f"{place}[{index}]")
    elif not _same(recorded, now):
        yield ChangedEntry(place, recorded, now)


def _same(recorded: Any, now: Any) -> bool:
    if isinstance(recorded, float) and isinstance(now, float):
        return recorded.hex() == now.hex()  # 0 and -0 are equal, and not the same bits
    return type(recorded) is type(now) and bool(recorded == now)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, str) else repr(value)
