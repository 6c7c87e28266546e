"""The card of a model folder: `card.json`, which says what the model is. Imports no torch."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from rim_lightning.files import MAX_TEXT, read_bytes
from rim_lightning.networks.earlier_names import current_names

FORMAT = 1
FORMAT_WITH_USAGE = 2
"""Format of a model that is used otherwise than by one look of RIM alone. Versions that cannot do that refuse it."""
CARD = "card.json"
CARD_DIGEST = "card.json.sha256"
"""File beside the card with its SHA-256. A folder of an earlier version has none."""


def read_card(folder: str | Path) -> dict[str, Any]:
    """Read `card.json` of a model folder.

    Args:
        folder: The model folder.

    Returns:
        Its content, in the names of this version.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If the card is damaged, was changed, or is of another format.
    """
    path = Path(folder) / CARD
    if not os.path.lexists(folder):
        raise FileNotFoundError(f"There is no model folder at {folder}: rim export makes one.")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no {CARD}. rim export makes one.")
    content = read_bytes(path, MAX_TEXT)
    _check_digest(path, content)
    try:
        card = current_names(json.loads(content.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is not JSON. Copy it again.") from error
    keys = {"architecture", "fingerprint", "files", "calibration", "license", "limits"}
    readable = isinstance(card, dict) and card.get("format") in (FORMAT, FORMAT_WITH_USAGE) and keys <= set(card)
    if not readable or not isinstance(card["files"], dict):
        raise ValueError(f"{path} is not a card of format {FORMAT}: export the model again from its checkpoint.")
    return card


def _check_digest(path: Path, content: bytes) -> None:
    """Raise ValueError if a card is not what the file with its digest says. A card without that file passes."""
    digest_file = path.with_name(CARD_DIGEST)
    digest = hashlib.sha256(content).hexdigest()
    if os.path.lexists(digest_file) and digest.encode() not in read_bytes(digest_file, MAX_TEXT).split():
        raise ValueError(
            f"{path} was changed after rim export wrote it: copy the whole folder again, or remove {CARD_DIGEST} to "
            "use it all the same."
        )
