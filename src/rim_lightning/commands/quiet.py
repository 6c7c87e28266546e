"""What Lightning says by itself, and users need not read."""

import logging
import warnings

COMMON = (".*does not have many workers.*", ".*treespec.*")
"""Warnings of every trainer that concern nobody: loaders without processes are a choice."""


def quiet_lightning(*messages: str) -> None:
    """Silence what Lightning says of devices, tips and ends of loops, and some of its warnings.

    Lightning must be imported already: it sets its own level then.

    Args:
        *messages: Regular expressions of more warnings, beside `COMMON`.
    """
    warnings.filterwarnings("ignore", message="|".join((*COMMON, *messages)))
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
