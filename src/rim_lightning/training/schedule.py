"""Training stages, and the schedule of the learning rates within a stage."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingStage:
    """A part of the training in which some of the phases run.

    Attributes:
        name: One of the stages of the training module.
        epochs: Length of the stage.
        lr_scale: Phase -> factor of its learning rate in this stage; 1 where a phase is missing.
        aligned_share: Share of the probes of this stage that no misalignment moves; None for that of the probes.
    """

    name: str
    epochs: int
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    aligned_share: float | None = None


class Schedule:
    """The stages of a run in order, and the shape of the learning rate within a stage.

    Args:
        stages: Arguments of `TrainingStage`, in order.
        warmup: Share of a stage in which the learning rate rises linearly, in [0, 1].
        final: Factor of the learning rate at the end of a stage. With `warmup` 0, a factor of 1 keeps it constant.

    Raises:
        ValueError: If a stage has a setting that `TrainingStage` does not have.
    """

    def __init__(self, stages: Sequence[Mapping[str, object]], warmup: float, final: float) -> None:
        self.stages = tuple(_training_stage(stage) for stage in stages)
        self.warmup = warmup
        self.final = final

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def locate(self, epoch: int) -> tuple[TrainingStage, int]:
        """Return the stage of an epoch and the number of epochs of that stage before it. Both count from 0."""
        for stage in self.stages[:-1]:
            if epoch < stage.epochs:
                return stage, epoch
            epoch -= stage.epochs
        return self.stages[-1], epoch

    def learning_rate_factor(self, phase: str, stages: Sequence[str], batches_per_epoch: int) -> Callable[[int], float]:
        """Return the learning-rate factor of a phase, see `stage_schedule`.

        Args:
            phase: Name of the phase.
            stages: Names of the stages in which the phase runs.
            batches_per_epoch: Number of batches of an epoch.
        """
        spans = [
            (stage.epochs * batches_per_epoch, stage.lr_scale.get(phase, 1.0))
            for stage in self.stages
            if stage.name in stages
        ]
        return stage_schedule(spans, self.warmup, self.final)


def stage_schedule(spans: Sequence[tuple[int, float]], warmup: float, final: float) -> Callable[[int], float]:
    """Return the learning-rate factor of one phase as a function of the batches in which the phase ran, from 0.

    In each stage the factor rises linearly, then follows a cosine down to `final`. The result is a function, not an
    object whose attributes `LambdaLR` would put into checkpoints: a run that is resumed with longer stages follows the
    longer schedule.

    Args:
        spans: Batches of a stage and the factor of the phase in that stage, for the stages of the phase in order.
        warmup: Share of a stage in which the factor rises.
        final: Factor at the end of a stage. With `warmup` 0, a factor of 1 keeps the rate constant.
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


def _training_stage(settings: Mapping[str, object]) -> TrainingStage:
    try:
        return TrainingStage(**settings)  # type: ignore[arg-type]  # a configuration: the names are checked here
    except TypeError:
        raise ValueError(f"A stage has name, epochs, maybe lr_scale, aligned_share; got {dict(settings)}.") from None
