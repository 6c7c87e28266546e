"""Plots that are saved to files."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from rim_lightning.files import whole_file


def pyplot() -> ModuleType:
    """Import matplotlib.pyplot with a backend that needs no screen.

    A backend that the user or the kernel of a notebook has chosen (`MPLBACKEND`) is kept.

    Returns:
        The module `matplotlib.pyplot`.
    """
    import matplotlib

    if "MPLBACKEND" not in os.environ:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def save_figure(figure: Any, path: Path, dpi: int = 110) -> None:
    """Write a figure as a picture, in one piece, and close it. Missing folders above it are made.

    Args:
        figure: Figure of matplotlib.
        path: File to write. Its ending is the format.
        dpi: Pixels of an inch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=dpi)
    pyplot().close(figure)
