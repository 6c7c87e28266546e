"""The CSV file of a training run: every row names the stage in which it was logged."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only


class StageCSVLogger(CSVLogger):
    """Lightning's CSV logger with the name of the stage in every row.

    Args:
        arguments: Arguments of `CSVLogger`.

    Attributes:
        stage: Name of the stage that is trained; "" for none.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.stage = ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row. The number of the stage, by which other loggers know it, becomes its name."""
        row: dict[str, Any] = dict(metrics)
        if self.stage:
            row["stage"] = self.stage
        super().log_metrics(row, step)
