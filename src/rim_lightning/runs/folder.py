"""The folder of a run: the one place that knows what its files are called."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Names of everything that a run leaves behind.

    Attributes:
        path: The folder of the run.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration of the run, resolved."""
        return self.path / "config.yaml"

    @property
    def state(self) -> Path:
        """How the last attempt ended, see `runs.state`."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """File that the running process keeps locked."""
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint from which an interrupted run resumes."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint with the best monitored validation figure."""
        return self.checkpoints / "best.ckpt"

    @property
    def metrics(self) -> Path:
        """The figures of the run: name -> number."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """Figures and pictures for people to read."""
        return self.path / "report.md"

    @property
    def curves(self) -> Path:
        """Folder of the logged values, one `version_<n>/metrics.csv` per attempt."""
        return self.path / "csv"

    @property
    def budget(self) -> Path:
        """What was measured for a run with a budget of minutes."""
        return self.path / "budget.json"

    @property
    def teacher(self) -> Path:
        """Weights of a teacher that the run trained itself."""
        return self.path / "teacher.pt"

    @property
    def teacher_metrics(self) -> Path:
        """Figures of that teacher."""
        return self.path / "teacher.json"

    @property
    def log(self) -> Path:
        """Output of a run that another process started."""
        return self.path / "train.log"

    @property
    def request(self) -> Path:
        """Title and overrides of a run that another process started."""
        return self.path / "run.json"


def folder_of_checkpoint(checkpoint: str | Path) -> RunFolder:
    """The folder of the run that wrote `<run>/checkpoints/<name>.ckpt`."""
    return RunFolder(Path(checkpoint).resolve().parents[1])
