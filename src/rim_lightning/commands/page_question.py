"""What a question to the page may hold. Imports pydantic: import it where a page runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from rim_lightning.json_files import parse_json
from rim_lightning.schema import Schema, checked

SESSION = "[A-Za-z0-9]{1,64}"
"""Name of a window of the browser, which the window makes up."""

Session = Annotated[str, Field(pattern=f"^{SESSION}$")]
Number = Annotated[int, Field(ge=0, lt=10_000)]


class Question(Schema):
    """A question: values of its inputs, its number, and what was clicked."""

    data: Annotated[list[Any], Field(max_length=20)]
    fn_index: Number
    session_hash: Session
    event_data: Any = None
    trigger_id: Number | None = None


class Cancellation(Schema):
    """The end of a question that nobody waits for any more."""

    session_hash: Session
    fn_index: Number
    event_id: Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]


def parse_question(body: bytes, kind: type[Question | Cancellation]) -> dict[str, Any]:
    """Parse a question.

    Args:
        body: JSON in UTF-8.
        kind: What it must be.

    Raises:
        ValueError: If it is anything else, or has a number or a letter that cannot be passed on.
    """
    parsed = parse_json(body, "The request", dict)
    json.dumps(parsed, ensure_ascii=False).encode()  # half a letter, such as \ud800, has no bytes
    return checked(kind, parsed, "The request", "reload the page").model_dump()


def paths_in(content: Any) -> Iterator[object]:
    """Yield everything that parsed JSON calls a path."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "path" in value:
                yield value["path"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
