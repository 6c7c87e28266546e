"""Which parameter belongs to which phase, and how learning rates move."""

import math
from collections.abc import Callable, Sequence

from torch import nn

from rim_lightning.training.phases import Phase


def split_parameters(module: nn.Module, phases: Sequence[Phase]) -> dict[str, list[nn.Parameter]]:
    """Phase -> its trainable parameters, in the order of the modules; disjoint and complete.

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


def stage_schedule(spans: Sequence[tuple[int, float]], warmup: float, final: float) -> Callable[[int], float]:
    """Learning-rate factor of one phase as a function of the batches it ran in, counted from 0: in each of its training
    stages a linear warm-up, then a cosine down to `final`.

    A function and not an object, whose attributes `LambdaLR` would put into checkpoints: a run that is resumed with
    longer stages follows the longer schedule.

    Args:
        spans: (batches of the stage, factor of the phase in that stage) of the stages in which it runs, in order.
        warmup: share of a stage spent warming up.
        final: factor at the end of a stage; 1 with `warmup` 0 keeps the rate constant.
    """

    def within(done: float) -> float:
        if done < warmup:
            return done / warmup
        progress = (done - warmup) / max(1 - warmup, 1e-12)
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    def factor(iteration: int) -> float:
        start = 0
        for batches, scale in spans:
            if iteration < start + batches:
                return scale * within((iteration - start + 1) / batches)
            start += batches
        return spans[-1][1] * final if spans else 0.0

    return factor
