"""The backend of matplotlib for plots that are saved to files."""

import os
from types import ModuleType


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
