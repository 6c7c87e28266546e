"""The choice of a model and of what finds the faces: `--model`, `--device` and `--detector`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim_lightning.commands.device import check_device
from rim_lightning.commands.rim.options import Place
from rim_lightning.data.detector_choice import DEFAULT_DETECTOR, DETECTORS, DetectorName, checked_detector
from rim_lightning.inference.default_model import model_or_shipped, shipped_model

if TYPE_CHECKING:
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.recognizer import Recognizer

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelChoice:
    """What the options `--model`, `--device` and `--detector` say.

    Attributes:
        path: Model folder or checkpoint. None if the option was left out.
        device: Device as PyTorch calls it.
        detector: What finds the faces.
    """

    path: Path | None
    device: str
    detector: DetectorName

    def chosen_path(self) -> Path:
        """Return the path of `--model`, or of the model that comes with the package.

        Raises:
            UsageError: If the option was left out, and the package comes without a model.
        """
        if self.path is None and shipped_model() is None:
            raise click.UsageError("Missing option '--model' / '-m'.", click.get_current_context(silent=True))
        return model_or_shipped(self.path)

    def load(self, demo: bool = False, calibration: Path | None = None) -> Recognizer:
        """Load the recognizer.

        Args:
            demo: True to decide even if the thresholds were chosen on synthetic faces.
            calibration: File of `rim calibrate`. None for the thresholds of the model.

        Returns:
            The recognizer, on the device.

        Raises:
            UsageError: If the option was left out, and the package comes without a model.
            ValueError: If there is no such device, the model is damaged or was changed, or the calibration is damaged
                or of another model.
            FileNotFoundError: If there is no such model or calibration.
        """
        path = self.chosen_path()
        check_device(self.device, "--device ")
        from rim_lightning.inference.recognizer import Recognizer

        recognizer = Recognizer.from_checkpoint(path, device=self.device, detector=self.detector, demo=demo)
        if calibration is not None:
            from rim_lightning.inference.calibration_file import read_calibration

            recognizer.calibration = read_calibration(calibration, recognizer.probe_fingerprint)
            recognizer.pair_calibration = None
        return recognizer


def detector_options(command: Command) -> Command:
    """Add `--device` and `--detector` to a command."""
    detector_option = click.option(
        "--detector",
        type=click.Choice(DETECTORS),
        default=DEFAULT_DETECTOR,
        show_default=True,
        callback=lambda ctx, param, name: checked_detector(name),  # before a model is loaded
        help="What finds the faces; mtcnn needs facenet-pytorch.",
    )
    device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, …")
    return device_option(detector_option(command))


def model_options(command: Command) -> Command:
    """Add `--model`, `--device` and `--detector` to a command, which gets them as one `ModelChoice`."""
    return _with_model(command, "Model folder or checkpoint; left out: the model of the package, if it has one.", True)


def optional_model_options(command: Command) -> Command:
    """Add the options of `model_options` to a command that does not always need a model."""
    return _with_model(command, "Model folder or checkpoint, as elsewhere; what rim-embed wrote needs none.", False)


def open_gallery(index: str, recognizer: Recognizer, create: bool = False, pooled: bool = False) -> Gallery:
    """Open the gallery of a model.

    Args:
        index: Address of the gallery.
        recognizer: The model.
        create: True to make the gallery if there is none.
        pooled: True if it must be one whose pictures are pooled.

    Returns:
        The gallery.
    """
    from rim_lightning.gallery.index import Gallery

    return Gallery(index, recognizer.fingerprint, recognizer.embedding_size, create, pooled)


def _with_model(command: Command, text: str, needed: bool) -> Command:
    @wraps(command)
    def with_choice(*, model: Path | None, device: str, detector: DetectorName, **values: Any) -> Any:
        choice = ModelChoice(model, device, detector)
        if needed:
            choice.chosen_path()  # before any other work
        return command(model=choice, **values)

    with_options: Any = detector_options(with_choice)
    return click.option("--model", "-m", type=Place(), help=text)(with_options)
