"""Rank of this process, available before Lightning starts the other processes."""

from pytorch_lightning.utilities import rank_zero_only


def is_first_process() -> bool:
    """Return True if this process has rank 0. It alone writes files that all processes share."""
    return getattr(rank_zero_only, "rank", 0) == 0
