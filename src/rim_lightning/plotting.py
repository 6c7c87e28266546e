"""Plots that are saved to files."""

import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from rim_lightning.files import printable, whole_file


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


def plain_label(name: str) -> str:
    r"""Return a name as the legend of a plot shows it: no formula, and not hidden.

    Args:
        name: Any text. For matplotlib, $ begins a formula, and an underscore in front hides a curve.

    Example:
        >>> plain_label("_$x")
        ' _\\$x'
    """
    escaped = printable(name).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def save_figure(figure: Any, path: Path, dpi: int = 110) -> None:
    """Write a figure as a picture, in one piece, and close it. Missing folders above it are made.

    Args:
        figure: Figure of matplotlib.
        path: File to write. Its ending is the format.
        dpi: Pixels of an inch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # letters that the font lacks are boxes
        figure.savefig(part, format=path.suffix[1:], dpi=dpi)
    pyplot().close(figure)
