"""Compute slow figures once and store them as JSON files."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rim_lightning.files import write_json
from rim_lightning.json_files import read_json


def compute_once(folder: Path, key: list[Any], compute: Callable[[], Any]) -> Any:
    """Return what `compute` returned at its first call with a key.

    Args:
        folder: Folder of the files, made if it is missing.
        key: Plain values that decide the result.
        compute: Computes plain containers.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return compute_file(folder / f"{digest}.json", compute)


def compute_file(file: Path, compute: Callable[[], Any]) -> Any:
    """Return the content of a JSON file, computed and written if there is none.

    A number that is not finite is null in the file and NaN in the result.
    """
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, compute())
    return _with_nan(read_json(file, object))


def _with_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: math.nan if value is None else _with_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [math.nan if value is None else _with_nan(value) for value in content]
    return content
