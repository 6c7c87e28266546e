"""The folder of a run and the names of its files. No other module spells these names."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from rim_lightning.files import real_path
from rim_lightning.runs.overrides import override


@dataclass(frozen=True)
class RunFolder:
    """Paths of all files that a run writes.

    Attributes:
        path: The folder of the run.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Path of the resolved configuration."""
        return self.path / "config.yaml"

    @property
    def origin(self) -> Path:
        """Path of the record of how the run was started, see `runs.origin`."""
        return self.path / "origin.json"

    @property
    def state(self) -> Path:
        """Path of the state of the run, see `runs.state`."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """Path of the file that the running process keeps locked."""
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        """Path of the folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Path of the checkpoint from which an interrupted run resumes."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """Path of the checkpoint with the best monitored validation figure."""
        return self.checkpoints / "best.ckpt"

    @property
    def metrics(self) -> Path:
        """Path of the figures of the run, name -> number."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """Path of the report, with figures and pictures."""
        return self.path / "report.md"

    @property
    def curves(self) -> Path:
        """Path of the folder of the logged values, one `version_<n>/metrics.csv` per attempt."""
        return self.path / "csv"

    @property
    def budget(self) -> Path:
        """Path of the record of a budget of minutes and the epoch length measured for it."""
        return self.path / "budget.json"

    @property
    def teacher(self) -> Path:
        """Path of the weights of a teacher that the run trained itself."""
        return self.path / "teacher.pt"

    @property
    def trial_teacher(self) -> Path:
        """Path of the weights of a teacher that `trainer.fast_dev_run` trained for a few batches."""
        return self.path / "teacher_fast_dev_run.pt"

    @property
    def teacher_metrics(self) -> Path:
        """Path of the figures of that teacher."""
        return self.path / "teacher.json"

    @property
    def log(self) -> Path:
        """Path of the output of a run that another process started."""
        return self.path / "train.log"

    @property
    def request(self) -> Path:
        """Path of the title and overrides of a run that another process started."""
        return self.path / "run.json"

    @property
    def resume_command(self) -> str:
        """Command that resumes the run with its own settings, as a shell takes it."""
        return f"rim-train resume=true {shlex.quote(override('hydra.run.dir', real_path(self.path)))}"

    def holds_work(self) -> bool:
        """Return True if the folder holds something that a run has computed."""
        return any(file.is_file() for file in (self.last_checkpoint, self.teacher, self.metrics))


def folder_of_checkpoint(checkpoint: str | Path) -> RunFolder:
    """Return the folder of the run that wrote `<run>/checkpoints/<name>.ckpt`."""
    return RunFolder(real_path(checkpoint).parents[1])
