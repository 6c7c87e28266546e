"""The card of a model folder: `card.json`, which says what the model is. Imports no torch."""

import hashlib
import os
from pathlib import Path
from typing import Any

from rim_lightning.files import read_bytes
from rim_lightning.json_files import parse_json
from rim_lightning.networks.earlier_names import current_names

FORMAT = 1
FORMAT_WITH_USAGE = 2
"""Format of a model that is used otherwise than by one look of RIM alone. Versions that cannot do that refuse it."""
CARD = "card.json"
CARD_DIGEST = "card.json.sha256"
"""File beside the card with its SHA-256. A folder of an earlier version has none."""

LARGEST_CARD = 4 * 2**20
"""Largest card in bytes. That of the shipped model has 52 KB."""
ADVICE = "copy the whole folder again, or export the model again from its checkpoint"


def read_card(folder: str | Path) -> dict[str, Any]:
    """Read `card.json` of a model folder.

    Args:
        folder: The model folder.

    Returns:
        Its content, in the names of this version.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If the card is damaged, was changed, is of another format, or has a value that cannot be.
    """
    path = Path(folder) / CARD
    if not os.path.lexists(folder):
        raise FileNotFoundError(f"There is no model folder at {folder}: rim export makes one.")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no {CARD}. rim export makes one.")
    content = read_bytes(path, ADVICE, LARGEST_CARD)
    _check_digest(path, content)
    card: dict[str, Any] = current_names(parse_json(content, path, dict, ADVICE))
    from rim_lightning.inference.card_schema import CardSchema  # not at the top: `--help` should not wait for it
    from rim_lightning.schema import checked

    if card.get("format") not in (FORMAT, FORMAT_WITH_USAGE):
        raise ValueError(f"{path} is not a card of format {FORMAT} or {FORMAT_WITH_USAGE}: {ADVICE}.")
    checked(CardSchema, card, path, ADVICE)
    return card


def _check_digest(path: Path, content: bytes) -> None:
    """Raise ValueError if a card is not what the file with its digest says. A card without that file passes."""
    digest_file = path.with_name(CARD_DIGEST)
    if not os.path.lexists(digest_file):
        return
    written = read_bytes(digest_file, ADVICE, LARGEST_CARD).decode("utf-8", "replace").split()
    if written[:1] != [hashlib.sha256(content).hexdigest()]:
        raise ValueError(
            f"{path} was changed after rim export wrote it: copy the whole folder again, or remove {CARD_DIGEST} to "
            "use it all the same."
        )
