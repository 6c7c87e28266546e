"""A trained model as a folder for others: weights, a card that describes it, ONNX files. Nothing in it is pickled."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.files import MAX_NAME, file_digest, put_in_place, shortened, whole_file, write_json, write_text
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card import ADVICE, CARD, CARD_DIGEST, FORMAT, FORMAT_WITH_USAGE, read_card
from rim_lightning.inference.card_page import CARD_PAGE, NOTICE, card_page
from rim_lightning.networks.architecture_check import check_finite, check_rim, check_rim_size
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import Usage

WEIGHTS = "model.safetensors"
TRAINING_ONLY = "discriminator."
"""How the names of those weights begin that only training needs."""

LIMITS = (
    "A similarity is evidence, not proof of identity: read it with the error rates of its probe size.",
    "Error rates hold for people, cameras and degradations like those of the calibration; others can be worse.",
    "They are those of well-aligned faces and a sharp gallery: faces that are not found or found badly come on top.",
    "Faces of few pixels carry little identity: a hallucinated face is plausible, not a photograph of the person.",
    "Not for decisions about people without their consent, a legal basis and a person who answers for the decision.",
)
LICENSE = "The code is MIT; weights may only be used as the data and the teacher they were trained with allow."


class Model(NamedTuple):
    """A trained model with everything that its folder says.

    Attributes:
        rim: The network, in eval mode.
        calibration: Thresholds, or None.
        card: Content of `card.json`.
        usage: How the network is used; the thresholds are those of this usage.
        pair_calibration: Thresholds of pairs whose gallery face is looked at twice (`Usage.reduced_gallery`), or None.
    """

    rim: RIM
    calibration: Calibration | None
    card: dict[str, Any]
    usage: Usage = Usage()
    pair_calibration: Calibration | None = None


def write_model(
    folder: str | Path,
    rim: RIM,
    calibration: Calibration | None,
    about: Mapping[str, Any],
    onnx: bool = True,
    notice: str | None = None,
    usage: Usage | None = None,
    pair_calibration: Calibration | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Weights that half precision holds exactly (see `half_precision`) take two bytes each in the file.

    Args:
        folder: Folder to write. It must not exist yet.
        rim: Trained network.
        calibration: Thresholds, or None.
        about: More entries of the card: metrics, digests of the data, origin.
        onnx: True to write ONNX files too, which takes a minute.
        notice: License of the teacher's weights, written as `NOTICE`.
        usage: How the network is used; None for one look by RIM alone.
        pair_calibration: Thresholds of pairs, see `Model`.

    Raises:
        FileExistsError: If the folder exists.
        ValueError: If ONNX files are wanted of a network that cannot be written as such.
        OSError: If it cannot be written.
        ImportError: If ONNX export is not installed.
    """
    from safetensors.torch import save

    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder, or remove it.")
    usage = usage or Usage()
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{shortened(folder.name, MAX_NAME - 16)}.", dir=folder.parent))
    try:
        part.chmod(0o777 & ~_umask())  # mkdtemp allows its user alone
        with whole_file(part / WEIGHTS) as file:
            file.write_bytes(save(_in_few_bytes(inference_weights(rim))))  # save_file of safetensors raises no OSError
        names = [WEIGHTS]
        if notice is not None:
            write_text(part / NOTICE, notice)
            names.append(NOTICE)
        if onnx:
            from rim_lightning.inference.onnx_export import export_onnx

            of_probes, of_gallery = fingerprint(rim, usage, of_probes=True), fingerprint(rim, usage)
            names += export_onnx(rim, part, usage, {"probe": of_probes, "gallery": of_gallery})
        files = {name: file_digest(part / name) for name in names}
        _write_card(part, _card(rim, calibration, about, files, usage, pair_calibration))
        put_in_place(part, folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_model(folder: str | Path) -> Model:
    """Read a folder that `write_model` wrote.

    Args:
        folder: The model folder.

    Returns:
        Network, thresholds and card.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged or was changed, or is of another version of this package.
    """
    folder = Path(folder)
    card = read_card(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"{folder} has no {WEIGHTS}: copy the whole folder.")
    _check_files(folder, card["files"])
    arguments = card["architecture"]["arguments"]
    check_rim(arguments, folder / CARD, "architecture.arguments")
    plain, plain_of_pairs = card["calibration"], card.get("pair_calibration")
    calibration = None if plain is None else Calibration.from_plain(plain)
    pair_calibration = None if plain_of_pairs is None else Calibration.from_plain(plain_of_pairs)
    usage = Usage.from_plain(card.get("usage", {}))
    with torch.device("cpu"):  # also where a run is rehearsed without memory: the weights are looked at
        rim = _filled(arguments, weights)
    if fingerprint(rim, usage) != card["fingerprint"]:
        raise ValueError(f"{folder / CARD}: fingerprint is not that of the weights and their usage: {ADVICE}.")
    return Model(rim.eval(), calibration, card, usage, pair_calibration)


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Raise ValueError if a file is not what the card says. All but the weights may be missing."""
    for name in {WEIGHTS: "", **digests}:
        if (folder / name).is_file() and file_digest(folder / name) != digests.get(name):
            raise ValueError(f"{folder / name} is damaged: its content is not what was written. Copy it again.")


def _filled(arguments: Mapping[str, Any], weights: Path) -> RIM:
    """Build a network for the weights in a file, and fill it. A file that holds less than a network is refused."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    misfit = f"{weights} does not fit {CARD}: {ADVICE}."
    try:
        values = load_file(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{weights} is damaged ({error}): {ADVICE}.") from error
    check_rim_size(arguments, sum(map(torch.numel, values.values())), weights, (TRAINING_ONLY,))
    rim = RIM(**arguments)
    try:
        mismatch = rim.load_state_dict(values, strict=False)
    except RuntimeError as error:
        raise ValueError(misfit) from error
    if mismatch.unexpected_keys or any(not name.startswith(TRAINING_ONLY) for name in mismatch.missing_keys):
        raise ValueError(misfit)
    check_finite(rim, weights)
    return rim


def inference_weights(rim: RIM) -> dict[str, Tensor]:
    """Return the weights that a trained model needs.

    Args:
        rim: The network.

    Returns:
        Name -> weight, on the CPU, without those that only training needs.
    """
    return {
        name: value.detach().cpu().contiguous()
        for name, value in rim.state_dict().items()
        if not name.startswith(TRAINING_ONLY)
    }


def half_precision(rim: RIM, parts: Sequence[str] = ("fhn.", "hrn.")) -> RIM:
    """Return a copy of a network whose matrices and kernels are rounded to half precision.

    It still computes in full precision. Vectors (biases, norms, slopes) stay as they are.

    Args:
        rim: The network. It stays as it is.
        parts: How the names of the weights to round begin.

    Returns:
        The copy, on the same device.

    Raises:
        ValueError: If a weight is too large for half precision.
    """
    rounded = copy.deepcopy(rim)
    with torch.no_grad():
        for name, value in rounded.state_dict().items():
            if value.ndim < 2 or not value.is_floating_point() or not name.startswith(tuple(parts)):
                continue
            half = value.half()
            if not half.isfinite().all():
                raise ValueError(f"{name} has weights beyond 65,504, too large for half precision: leave --half out.")
            value.copy_(half)
    return rounded


def fingerprint(rim: RIM, usage: Usage | None = None, of_probes: bool = False) -> str:
    """Return 16 hexadecimal digits of a digest of the weights, and of the looks at a gallery face.

    Embeddings of two models with different fingerprints cannot be compared.

    Args:
        rim: The network.
        usage: How it is used; None for one look.
        of_probes: True for a name of the embeddings of probes, on which the mixture has a say too.

    Returns:
        The digits.
    """
    digest = hashlib.sha256()
    for name, value in sorted(inference_weights(rim).items()):
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    if usage is not None and (usage.flip or usage.shift):
        digest.update(f"{usage.flip} {usage.shift}".encode())
    if of_probes and usage is not None and usage.mixture is not None:
        digest.update(str(usage.to_plain()["mixture"]).encode())
    return digest.hexdigest()[:16]


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write a card, its page and its digest."""
    write_json(folder / CARD, card)
    write_text(folder / CARD_PAGE, card_page(card))
    write_text(folder / CARD_DIGEST, file_digest(folder / CARD) + "\n")


def _card(
    rim: RIM,
    calibration: Calibration | None,
    about: Mapping[str, Any],
    files: Mapping[str, str],
    usage: Usage,
    pair_calibration: Calibration | None,
) -> dict[str, Any]:
    more = {} if pair_calibration is None else {"pair_calibration": pair_calibration.to_plain()}
    return {
        "format": FORMAT if usage == Usage() else FORMAT_WITH_USAGE,
        "version": _installed_version(),
        "architecture": {"name": "rim", "arguments": rim.arguments},
        "fingerprint": fingerprint(rim, usage),
        "files": files,
        "inputs": f"aligned faces, (batch, {rim.hr_size}, {rim.hr_size}, 3), RGB in 0..255, and the side of each face "
        "in its picture in pixels, (batch,)",
        **({} if usage == Usage() else {"usage": usage.to_plain()}),
        "calibration": None if calibration is None else calibration.to_plain(),
        **more,
        **about,
        "license": LICENSE,
        "limits": list(LIMITS),
    }


def _in_few_bytes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights that half precision holds exactly."""
    return {
        name: value.half() if value.dtype == torch.float32 and torch.equal(value.half().float(), value) else value
        for name, value in weights.items()
    }


def _installed_version() -> str:
    try:
        return metadata.version("rim-lightning")
    except metadata.PackageNotFoundError:  # the sources are on the path, but the package is not installed
        return "unknown"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
