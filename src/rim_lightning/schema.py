"""What a file of somebody else may hold: types and ranges as a pydantic model, and one sentence for what does not fit.

Import it where a file is read, not at the top of what `--help` imports: pydantic takes a tenth of a second.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rim_lightning.json_files import place_of

SHOWN = 60
"""Characters of a wrong value that are shown."""


class Schema(BaseModel):
    """Base of all schemas: types are not converted, unknown entries and numbers that are not finite are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=BaseModel)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, hexadecimal."""
Count = Annotated[int, Field(ge=0, le=10**12)]
Share = Annotated[float, Field(ge=0, le=1)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][^/\\\x00-\x1f]{0,254}$")]
"""Name of a file in the same folder, without any separator."""


def checked(schema: type[S], content: Any, file: str | Path, advice: str, within: str = "") -> S:
    """Return content as a schema describes it.

    Args:
        schema: What the content may be.
        content: Plain containers.
        file: Where it is from, for the message.
        advice: What the user can do.
        within: Place of the content in the file.

    Raises:
        ValueError: If something does not fit. The message names file, place and value.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(filter(None, (within, place_of(fault["loc"])))) or "its content"
    if fault["type"] in ("missing", "missing_argument"):
        raise ValueError(f"{file} has no {place}: {advice}.")
    if fault["type"] == "extra_forbidden":
        raise ValueError(f"{file} has the entry {place}, which this version does not know: {advice}.")
    reason = (
        fault["msg"].removeprefix("Value error, ").replace("Input should be", "it must be").replace("Input ", "it ")
    )
    raise ValueError(f"{file}: {place} is {_shown(fault['input'])}; {reason[:1].lower()}{reason[1:]}: {advice}.")


def _shown(value: Any) -> str:
    """Return a wrong value as it is shown: a container by its length, text and numbers by their beginning."""
    if isinstance(value, Mapping | list | tuple):
        return f"a {'mapping' if isinstance(value, Mapping) else 'list'} of {len(value)}"
    text = repr(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
