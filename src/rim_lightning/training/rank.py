"""The number of this process, known before Lightning starts the others."""

from pytorch_lightning.utilities import rank_zero_only


def is_first_process() -> bool:
    """Whether this process has rank 0: it alone writes files that all processes share."""
    return getattr(rank_zero_only, "rank", 0) == 0
