"""The choice of what finds faces. Nothing heavy is imported, so that `rim --help` is quick."""

from typing import Literal, get_args

from rim_lightning.extras import require_extra

DetectorName = Literal["yunet", "mtcnn"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)
DEFAULT_DETECTOR: DetectorName = "yunet"


def checked_detector(name: str) -> DetectorName:
    """Check the name of a detector, and that its packages are installed, before any long work.

    Args:
        name: Name that a user chose.

    Returns:
        The name.

    Raises:
        ValueError: If there is no such detector.
        MissingExtra: If its packages are missing.
    """
    if name == "mtcnn":
        require_extra("mtcnn", "detector=mtcnn")
    for detector in DETECTORS:
        if name == detector:
            return detector
    raise ValueError(f"detector is '{name}'; choose {' or '.join(DETECTORS)}.")
