"""Stops a run whose losses or gradients are not finite, before anything of it is saved."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rim_lightning.training.deferred import Deferred


class NonFiniteLoss(RuntimeError):
    """A term or a gradient is not finite; the message names it. The last checkpoint is the last good one."""


class FiniteWatch:
    """Looks at the figures of a batch when those of the next one are there: the host waits for no step to end.

    Whoever saves the weights calls `check` first.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Sequence[str], Deferred] | None = None

    def push(self, batch: int, names: Sequence[str], figures: Tensor) -> None:
        """Check the batch before, then take these.

        Args:
            batch: its number, for the message. names: of the figures.
            figures: (N,), the same on every rank, so that all stop together.

        Raises:
            NonFiniteLoss: a figure of the batch before is not finite.
        """
        self.check()
        self._last = batch, names, Deferred(figures)

    def check(self) -> None:
        """Raises NonFiniteLoss where a figure of the last batch is not finite."""
        if self._last is None:
            return
        batch, names, deferred = self._last
        figures = deferred.read()
        if torch.isfinite(figures).all():
            self._last = None
            return
        named = zip(names, figures.tolist(), strict=True)
        bad = [f"{name} is {value:g}" for name, value in named if not math.isfinite(value)]
        raise NonFiniteLoss(
            f"Not finite at batch {batch}: {', '.join(bad)}. The last checkpoint is the last good state: resume "
            "from it with a lower optim.clip, or start a new run with lower learning rates, which a checkpoint keeps."
        )
