"""A trained model as a folder to hand on: weights, a card that says what it is, ONNX files; nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

import rim_lightning
from rim_lightning.inference.calibration import Calibration
from rim_lightning.networks.checkpoints import current_names
from rim_lightning.networks.rim import RIM

FORMAT = 1


WEIGHTS, CARD = "model.safetensors", "card.json"


TRAINING_ONLY = "discriminator."

LIMITS = (
    "A similarity is evidence, not proof of identity: read it with the error rates of its probe size.",
    "Error rates hold for people, cameras and degradations like those of the calibration; others can be worse.",
    "They are those of well-aligned faces and a sharp gallery: faces that are not found or found badly come on top.",
    "Faces of few pixels carry little identity: a hallucinated face is plausible, not a photograph of the person.",
    "Not for decisions about people without their consent, a legal basis and a person who answers for the decision.",
)


LICENSE = "The code is MIT; weights may only be used as the data and the teacher they were trained with allow."


class Model(NamedTuple):
    """Attributes: rim: in eval mode. calibration: thresholds, or None. card: all that `card.json` says."""

    rim: RIM
    calibration: Calibration | None
    card: dict[str, Any]


def write_model(
    folder: str | Path,
    rim: RIM,
    calibration: Calibration | None,
    about: Mapping[str, Any],
    onnx: bool = True,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: must not exist yet. about: what else the card shall say: metrics, digests of the data, where it comes
            from. onnx: write ONNX files too, which takes a minute.

    Raises:
        FileExistsError: the folder is there already. OSError: it cannot be written. ImportError: ONNX export is not
            installed.
    """
    from safetensors.torch import save

    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: give another folder, or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o777 & ~_umask())  # mkdtemp's own is for its user alone
        (part / WEIGHTS).write_bytes(save(inference_weights(rim)))  # safetensors' save_file raises no OSError
        files = {WEIGHTS: _digest(part / WEIGHTS)}
        if onnx:
            from rim_lightning.inference.onnx_export import export_onnx

            files |= {name: _digest(part / name) for name in export_onnx(rim, part)}
        card = {
            "format": FORMAT,
            "version": rim_lightning.__version__,
            "architecture": {"name": "rim", "arguments": rim.arguments},
            "fingerprint": fingerprint(rim),
            "files": files,
            "inputs": f"aligned faces, (batch, 3, {rim.hr_size}, {rim.hr_size}), RGB in [-1, 1]",
            "calibration": None if calibration is None else calibration.to_plain(),
            **about,
            "license": LICENSE,
            "limits": list(LIMITS),
        }
        (part / CARD).write_text(json.dumps(card, indent=2) + "\n")
        part.replace(folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_model(folder: str | Path) -> Model:
    """What `write_model` wrote.

    Raises:
        FileNotFoundError: a file is missing. ValueError: a file is damaged, or of another version of this package.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    card = read_card(folder)
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{folder} has no {WEIGHTS}: copy the whole folder.")
    try:
        if _digest(folder / WEIGHTS) != card["files"][WEIGHTS]:
            raise ValueError(f"{folder / WEIGHTS} is damaged: its content is not what was written. Copy it again.")
        rim = RIM(**card["architecture"]["arguments"])
        plain = card["calibration"]
        calibration = None if plain is None else Calibration.from_plain(plain)
        unused = rim.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{folder} is no model that this version can read: export it again from its checkpoint."
        ) from error
    if unused.unexpected_keys or any(not name.startswith(TRAINING_ONLY) for name in unused.missing_keys):
        raise ValueError(f"{folder / WEIGHTS} does not fit {CARD}: export the model again from its checkpoint.")
    return Model(rim.eval(), calibration, card)


def read_card(folder: str | Path) -> dict[str, Any]:
    """`card.json` of a model folder; raises FileNotFoundError or ValueError, in one sentence."""
    path = Path(folder) / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no model folder: it has no {CARD}. rim export makes one.")
    try:
        card = current_names(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON. Copy it again.") from error
    keys = {"architecture", "fingerprint", "files", "calibration", "license", "limits"}
    if not isinstance(card, dict) or card.get("format") != FORMAT or not keys <= set(card):
        raise ValueError(f"{path} is no card of format {FORMAT}: export the model again from its checkpoint.")
    return card


def inference_weights(rim: RIM) -> dict[str, Tensor]:
    """Name -> weight, on the CPU, of all that a trained model needs."""
    return {
        name: value.detach().cpu().contiguous()
        for name, value in rim.state_dict().items()
        if not name.startswith(TRAINING_ONLY)
    }


def fingerprint(rim: RIM) -> str:
    """Sixteen hexadecimal digits of the weights: embeddings of models that differ in it do not mix."""
    digest = hashlib.sha256()
    for name, value in sorted(inference_weights(rim).items()):
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:16]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
