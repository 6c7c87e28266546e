"""The card of a model folder: `card.json`, which says what the model is. Imports no torch."""

import json
import os
from pathlib import Path
from typing import Any

from rim_lightning.networks.earlier_names import current_names

FORMAT = 1
CARD = "card.json"


def read_card(folder: str | Path) -> dict[str, Any]:
    """Read `card.json` of a model folder.

    Args:
        folder: The model folder.

    Returns:
        Its content, in the names of this version.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If the card is damaged, or of another format.
    """
    path = Path(folder) / CARD
    if not os.path.lexists(folder):
        raise FileNotFoundError(f"There is no model folder at {folder}: rim export makes one.")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no {CARD}. rim export makes one.")
    try:
        card = current_names(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON. Copy it again.") from error
    keys = {"architecture", "fingerprint", "files", "calibration", "license", "limits"}
    readable = isinstance(card, dict) and card.get("format") == FORMAT and keys <= set(card)
    if not readable or not isinstance(card["files"], dict):
        raise ValueError(f"{path} is not a card of format {FORMAT}: export the model again from its checkpoint.")
    return card
