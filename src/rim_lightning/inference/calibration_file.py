"""A calibration in a file of its own: the rates of a model for somebody's own probes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rim_lightning.files import write_json
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card_schema import CalibrationSchema
from rim_lightning.json_files import read_json
from rim_lightning.schema import Schema, checked

FORMAT = 1
ADVICE = "measure it again with rim calibrate"
LARGEST = 4 * 2**20
"""Largest file in bytes. One with all sizes and counts has about 100 KB."""


class CalibrationFileSchema(Schema):
    """Content of the file."""

    format: Literal[1]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    calibration: CalibrationSchema


def write_calibration(path: Path, calibration: Calibration, fingerprint: str) -> None:
    """Write a calibration.

    Args:
        path: File to write. It appears whole or not at all.
        calibration: The calibration.
        fingerprint: Name of the embeddings of probes that it holds for (`Recognizer.probe_fingerprint`).
    """
    write_json(path, {"format": FORMAT, "fingerprint": fingerprint, "calibration": calibration.to_plain()})


def read_calibration(path: Path, fingerprint: str) -> Calibration:
    """Read a calibration.

    Args:
        path: File that `write_calibration` wrote.
        fingerprint: Name of the embeddings of probes of the model that it is to be used with.

    Returns:
        The calibration.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or was measured for another model.
    """
    content = read_json(path, dict, ADVICE, LARGEST)
    checked(CalibrationFileSchema, content, path, ADVICE)
    if content["fingerprint"] != fingerprint:
        raise ValueError(
            f"{path} was measured for the model {content['fingerprint']}, not for {fingerprint}: use that model, or "
            f"{ADVICE}."
        )
    return Calibration.from_plain(content["calibration"])
