"""Which parameter belongs to which phase, and how learning rates move."""

import math
from collections.abc import Sequence

from torch import nn

from rim_lightning.phases import Phase


def split_parameters(module: nn.Module, phases: Sequence[Phase]) -> dict[str, list[nn.Parameter]]:
    """phase -> its trainable parameters, in the order of the modules; disjoint and complete.

    Raises:
        ValueError: a trainable parameter belongs to no phase or to two of them.
    """
    owner: dict[nn.Parameter, str] = {}
    split: dict[str, list[nn.Parameter]] = {}
    for phase in phases:
        split[phase.name] = []
        for name in phase.modules:
            for parameter in module.get_submodule(name).parameters():
                if not parameter.requires_grad:
                    continue
                if parameter in owner:
                    raise ValueError(
                        f"A parameter of {name} belongs to the phases {owner[parameter]} and {phase.name}."
                    )
                owner[parameter] = phase.name
                split[phase.name].append(parameter)
    orphans = [
        name for name, parameter in module.named_parameters() if parameter.requires_grad and parameter not in owner
    ]
    if orphans:
        raise ValueError(f"No phase moves {', '.join(orphans[:5])}: freeze it or give it to a phase.")
    return split


class StageSchedule:
    """Learning-rate factor of one phase as a pure function of the batches it ran in: in each of its training stages a
    linear warm-up, then a cosine down to `final`.

    Args:
        spans: (batches of the stage, factor of the phase in that stage) of the stages in which it runs, in order.
        warmup: share of a stage spent warming up.
        final: factor at the end of a stage; 1 with `warmup` 0 keeps the rate constant.
    """

    def __init__(self, spans: Sequence[tuple[int, float]], warmup: float, final: float):
        self.spans = tuple(spans)
        self.warmup = warmup
        self.final = final

    def __call__(self, iteration: int) -> float:
        """Factor of the learning rate for the phase's batch number `iteration`, counted from 0."""
        start = 0
        for batches, scale in self.spans:
            if iteration < start + batches:
                return scale * self._within((iteration - start + 1) / batches)
            start += batches
        return self.spans[-1][1] * self.final if self.spans else 0.0

    def _within(self, done: float) -> float:
        if done < self.warmup:
            return done / self.warmup
        progress = (done - self.warmup) / max(1 - self.warmup, 1e-12)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
