"""Exit codes, and the options that several sub-commands of `rim` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.errors import FAULT, INTERRUPTED, PARTLY
from rim_lightning.extras import require_extra
from rim_lightning.inference.verdict import DEFAULT_FAR

if TYPE_CHECKING:
    from rim_lightning.commands.rim.model_choice import ModelChoice
    from rim_lightning.inference.recognizer import Recognizer

SMALLEST_FACE = 7  # pixels; `images.MIN_SIDE`, without an import of numpy
NO, WRONG = 1, 2
"""Exit codes: the answer is no; wrong input."""

EXIT_CODES = (
    f"Exit codes: 0 done, or the answer is yes; {NO} the answer is no; {WRONG} stopped by wrong input; {PARTLY} done, "
    f"but some pictures were left out, or differ from the gallery; {FAULT} a fault of this program; {INTERRUPTED} "
    "interrupted."
)
Command = TypeVar("Command", bound=Callable[..., Any])


class Place(click.Path):
    """A path that is not empty: an unset variable of a script is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if it is empty."""
        if value == "":
            self.fail("the path is empty.", param, ctx)
        return super().convert(value, param, ctx)


@dataclass(frozen=True)
class Decision:
    """What the options `--far`, `--size`, `--demo` and `--calibration` say: by which threshold a command decides.

    Attributes:
        far: False accept rate of one comparison.
        size: Side of the probe's face in pixels. None takes what its picture tells.
        demo: True to decide even if the thresholds were chosen on synthetic faces.
        calibration: File of `rim calibrate`. None for the thresholds of the model.
    """

    far: float
    size: float | None
    demo: bool
    calibration: Path | None

    def load(self, model: ModelChoice) -> Recognizer:
        """Load a model that has thresholds for the false accept rate.

        Args:
            model: The choice of the model.

        Returns:
            The recognizer.

        Raises:
            ValueError: If it has none, or if they were chosen on synthetic faces and `--demo` is not given; or if the
                file of the calibration is damaged or of another model.
        """
        recognizer = model.load(self.demo, self.calibration)
        recognizer.required_calibration().check_far(self.far)
        return recognizer


def _face_size(ctx: click.Context, param: click.Parameter, size: float | None) -> float | None:
    """Return the value of `--size`; refuse what is no size of a face."""
    if size is not None and not SMALLEST_FACE <= size < float("inf"):
        raise click.BadParameter(f"{size:g} is no side of a face: give at least {SMALLEST_FACE} pixels.")
    return size


demo_option = click.option(
    "--demo", is_flag=True, help="Try a model out whose thresholds were chosen on synthetic faces; else it is refused."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")


calibration_option = click.option(
    "--calibration",
    type=Place(),
    help="File of rim calibrate, whose thresholds and rates are taken in place of those of the model.",
)


def decision_options(command: Command) -> Command:
    """Add `--far`, `--size`, `--demo` and `--calibration` to a command, which gets them as one `Decision`."""

    @wraps(command)
    def with_decision(*, far: float, size: float | None, demo: bool, calibration: Path | None, **values: Any) -> Any:
        return command(decision=Decision(far, size, demo, calibration), **values)

    far_option = click.option(
        "--far", default=DEFAULT_FAR, show_default=True, help="False accept rate of one comparison."
    )
    size_option = click.option(
        "--size",
        type=float,
        callback=_face_size,
        help="Side of the probe's face in pixels, if you know it better than the picture tells: it decides the "
        "threshold. It cannot be more than the face has pixels in the picture.",
    )
    with_options: Any = with_decision
    return far_option(size_option(calibration_option(demo_option(with_options))))


def _searchable(ctx: click.Context, param: click.Parameter, index: str | None) -> str | None:
    """Return the value of `--index`; refuse it where galleries cannot be opened, before a model is loaded."""
    if index == "":
        raise click.BadParameter("the path is empty.")
    if index is not None:
        require_extra("gallery", "A gallery")
    return index


index_option = click.option(
    "--index",
    "-i",
    required=True,
    callback=_searchable,
    help="Gallery: a folder; to search and list also an object store (s3://…, gs://…, az://…).",
)
optional_index_option = click.option("--index", "-i", callback=_searchable, help="Gallery to search.")
