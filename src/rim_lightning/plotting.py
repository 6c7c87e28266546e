"""Where plots go."""

import os
from types import ModuleType


def pyplot() -> ModuleType:
    """matplotlib.pyplot, drawing into files; a backend that the user or a notebook's kernel has chosen stays."""
    import matplotlib

    if "MPLBACKEND" not in os.environ:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
