"""Names that earlier versions wrote into their files. Imports no torch: model cards are read without it."""

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "recogniser": "recognizer",
    "hallucinator": "super_resolver",
    "normalisation": "normalization",
    "centres": "centers",
    "licence": "license",
    "DrawnDataModule": "SyntheticDataModule",
}
"""Names that version 0.1 wrote into its files -> their names in this version."""


def current_names(content: Any) -> Any:
    """Replace the keys that version 0.1 wrote into its files: checkpoints, backbone files and model cards.

    Args:
        content: Plain containers. The keys of every mapping in them are replaced, and values stay as they are.

    Returns:
        A copy with the names of this version.

    Example:
        >>> current_names({"recogniser.learner.weight": 1, "guide": {"normalisation": "none"}})
        {'recognizer.learner.weight': 1, 'guide': {'normalization': 'none'}}
    """
    if not isinstance(content, Mapping):
        return content
    return {translated_name(key): current_names(value) for key, value in content.items()}


def translated_name(name: Any) -> Any:
    """Return a key in the names of this version, each part of a dotted name by itself.

    Args:
        name: The key. One that is not a string stays as it is.
    """
    if not isinstance(name, str):
        return name
    return ".".join(RENAMED.get(part, part) for part in name.split("."))
