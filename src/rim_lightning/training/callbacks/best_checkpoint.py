"""The checkpoint `best.ckpt`: the best validation of the stage that is trained, by what that stage trains."""

import math
from pathlib import Path
from typing import Any, Literal, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from rim_lightning.networks.checkpoints import digest_file
from rim_lightning.training.phased_module import PhasedModule


class BestCheckpoint(Checkpoint):
    """Keeps the checkpoint with the best validation figure of the current stage.

    Every stage starts anew: a network that a later stage trains is still untrained in a checkpoint of an earlier one.
    The file of an earlier stage is then called `best_<stage>.ckpt`.

    Args:
        dirpath: Folder of the checkpoint.
        monitor: Name of the figure that decides. None for that of the stage (`PhasedModule.figures_of`): image quality
            in stages that train hallucination alone, otherwise recognition.
        mode: "max" if larger is better, or "min".
        filename: Name of the file, without suffix.
    """

    def __init__(self, dirpath: str, monitor: str | None, mode: Literal["max", "min"], filename: str = "best") -> None:
        self.path = Path(dirpath) / f"{filename}.ckpt"
        self.monitor = monitor
        self.mode = mode
        self._stage = -1  # number of the stage of the best validation; -1 before the first one
        self._stage_name = ""
        self._figure = ""
        self._value = math.nan

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation so far, for `last.ckpt`."""
        return {"stage": self._stage, "stage_name": self._stage_name, "figure": self._figure, "value": self._value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the best validation of the run that is resumed."""
        self._stage, self._stage_name = state_dict["stage"], state_dict["stage_name"]
        self._figure, self._value = state_dict["figure"], state_dict["value"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the checkpoint of an earlier stage aside."""
        number = _stage_number(pl_module)
        if trainer.is_global_zero and -1 < self._stage < number:
            aside = self.path.with_stem(f"{self.path.stem}_{self._stage_name}")
            for source, target in ((self.path, aside), (digest_file(self.path), digest_file(aside))):
                if source.is_file():
                    source.replace(target)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if this validation is the best of its stage."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        module = cast(PhasedModule, pl_module)
        figure, value = self._judge(trainer, module)
        if not figure:
            return
        number = _stage_number(pl_module)
        better = value > self._value if self.mode == "max" else value < self._value
        anew = number != self._stage or figure != self._figure
        if trainer.strategy.reduce_boolean_decision(anew or better, all=False):
            self._stage, self._stage_name, self._figure, self._value = number, module.stage, figure, value
            trainer.save_checkpoint(self.path, weights_only=False)

    def _judge(self, trainer: pl.Trainer, module: PhasedModule) -> tuple[str, float]:
        """Return the figure that decides and its value; "" if nothing was measured."""
        names = [self.monitor] if self.monitor else module.figures_of(module.stage)
        for name in names:
            value = float(trainer.callback_metrics.get(name, math.nan))
            if math.isfinite(value):
                return name, value
        return "", math.nan


def _stage_number(pl_module: pl.LightningModule) -> int:
    """Return the position of the current stage in the schedule; two stages may have one name."""
    module = cast(PhasedModule, pl_module)
    ends, end = [], 0
    for stage in module.schedule.stages:
        end += stage.epochs
        ends.append(end)
    epoch = module.trainer.current_epoch
    return next((number for number, end in enumerate(ends) if epoch < end), len(ends) - 1)
