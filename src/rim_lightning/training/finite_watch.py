"""Stops a run whose losses or gradients are not finite, before any of it is saved."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rim_lightning.training.deferred import Deferred


class NonFiniteLoss(RuntimeError):
    """A term or a gradient is not finite. The message names it; the last checkpoint is the last good state."""


class FiniteWatch:
    """Checks batch n when batch n + 1 arrives, so that the host never waits for the device.

    Call `check` before the weights are saved.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Sequence[str], Deferred] | None = None

    def push(self, batch: int, names: Sequence[str], figures: Tensor) -> None:
        """Check the figures of the batch before, then keep these.

        Args:
            batch: Number of the batch, for the message.
            names: Names of the figures.
            figures: (N,), the same on every rank, so that all stop together.

        Raises:
            NonFiniteLoss: If a figure of the batch before is not finite.
        """
        self.check()
        self._last = batch, names, Deferred(figures)

    def check(self) -> None:
        """Raise NonFiniteLoss if a figure of the last batch is not finite."""
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
