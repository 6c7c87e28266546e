"""Trained networks from the checkpoints of rim-train, without Lightning and without any configuration."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rim_lightning.files import content_digest, read_bytes
from rim_lightning.networks.architecture_check import check_architecture, check_finite, check_rim_size, check_size
from rim_lightning.networks.earlier_names import current_names, translated_name
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.torch_files import load_torch_file

ARCHITECTURES = ("rim", "super_resolver", "recognizer")
"""What a checkpoint can hold, see `build_architecture`."""

DIGEST_SUFFIX = ".sha256"

# Parts of a checkpoint with names inside. Their values stay, and so do the other parts.
RENAMED_PARTS = ("model_arguments", "state_dict", "current_model_state")


class DamagedCheckpoint(ValueError):
    """The content of a checkpoint file is not what was written."""


def load_rim(path: str | Path) -> RIM:
    """Load a trained RIM from a checkpoint, without any configuration.

    Args:
        path: Checkpoint of rim-train.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        DamagedCheckpoint: If the content is not what was written.
        ValueError: If the file is not a checkpoint of rim-train, cannot be read, or holds another architecture.
    """
    return cast(RIM, load_network(path, "rim"))


def load_network(path: str | Path, architecture: str | None = None) -> nn.Module:
    """Load a trained network from a checkpoint, without any configuration.

    A run with a moving average of its weights (EMA) writes the average, which is what this function loads. Only tensors
    and plain containers are unpickled (`weights_only=True`): a hostile file cannot bring code of its own.

    Args:
        path: Checkpoint of rim-train.
        architecture: Name from `ARCHITECTURES` that the checkpoint must have. None accepts any.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        DamagedCheckpoint: If the content is not what was written.
        ValueError: If the file is not a checkpoint of rim-train, cannot be read, or holds another architecture.
    """
    checkpoint = _read_checkpoint(path)
    stored = checkpoint.get("architecture", "rim")  # the first checkpoints held nothing else and do not name it
    if architecture is not None and stored != architecture:
        raise ValueError(f"{path} holds a {stored}, where a {architecture} is needed: give a checkpoint of that kind.")
    prefix = f"{stored}."
    # A checkpoint also holds what only training needs, such as the weights of a loss.
    weights = {
        name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)
    }
    check_architecture(stored, checkpoint["model_arguments"], path)
    numbers = sum(map(torch.numel, weights.values()))
    if stored == "rim":
        check_rim_size(checkpoint["model_arguments"], numbers, path)
    else:
        check_size(partial(build_architecture, stored, checkpoint["model_arguments"]), numbers, path)
    network = build_architecture(stored, checkpoint["model_arguments"])
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"{path} was made by another version of this package: use that one, or train again."
        ) from error
    check_finite(network, path)
    return network.eval()


def training_record(path: str | Path) -> dict[str, Any]:
    """Return what a checkpoint says about its training.

    Args:
        path: Checkpoint of rim-train.

    Returns:
        "code", the version of the code, and "faces", the number of faces seen; empty for a checkpoint of an earlier
        version.

    Raises:
        FileNotFoundError: See `load_network`.
        ValueError: See `load_network`.
    """
    record = _read_checkpoint(path).get("training", {})
    return {key: record[key] for key, kind in (("code", str), ("faces", int)) if isinstance(record.get(key), kind)}


def build_architecture(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    What RIM is compared with is imported only when it is built.

    Args:
        name: Name from `ARCHITECTURES`.
        arguments: Arguments of `RIM`, `build_super_resolver` or `build_guided_recognizer`.

    Returns:
        The network, in train mode.

    Raises:
        ValueError: If the name is unknown. The message lists the names.
    """
    if name == "rim":
        return RIM(**arguments)
    if name == "super_resolver":
        from rim_lightning.networks.compared.build import build_super_resolver

        return build_super_resolver(**arguments)
    if name == "recognizer":
        from rim_lightning.networks.compared.guided import build_guided_recognizer

        return build_guided_recognizer(**arguments)
    raise ValueError(f'There is no architecture "{name}"; choose one of {", ".join(ARCHITECTURES)}.')


def check_digest(path: str | Path) -> None:
    """Compare a checkpoint with the digests beside it. A file without digests, or no file, passes.

    Args:
        path: Checkpoint of rim-train.

    Raises:
        DamagedCheckpoint: If the content is not what was written.
    """
    digests = recorded_digests(path)
    if not digests or not Path(path).is_file():
        return
    # `files.file_digest` remembers a file of the same size and time; a check for damage reads what is there now.
    if content_digest(path) not in digests:
        raise DamagedCheckpoint(
            f"{path} is damaged: its content is not what was written. Take another checkpoint of the run, such as "
            f"best.ckpt, or start again without it; remove {digest_file(path).name} to load it all the same."
        )


def recorded_digests(path: str | Path) -> list[str]:
    """Return the SHA-256 of every content that may stand in a checkpoint, as the file beside it says.

    Args:
        path: Checkpoint of rim-train. It need not exist.

    Returns:
        Digests of 64 hexadecimal digits; none if that file is missing. There are several only while a new checkpoint
        replaces an old one, or if the process died at that moment.
    """
    file = digest_file(path)
    return read_bytes(file).decode("utf-8", "replace").split() if os.path.lexists(file) else []


def digest_file(path: str | Path) -> Path:
    """Return the path of the file that holds the digests of a checkpoint."""
    return Path(f"{path}{DIGEST_SUFFIX}")


def upgrade_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Bring a checkpoint of version 0.1 to the names of this version.

    Args:
        checkpoint: Content of the file. One of this version is returned unchanged.

    Returns:
        A new dictionary, which shares its tensors with `checkpoint`.
    """
    upgraded = {
        translated_name(part): current_names(content) if part in RENAMED_PARTS else content
        for part, content in checkpoint.items()
    }
    if "architecture" in upgraded:
        upgraded["architecture"] = translated_name(upgraded["architecture"])
    return upgraded


def _read_checkpoint(path: str | Path) -> dict[str, Any]:
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: give a checkpoint, such as checkpoints/last.ckpt of a run.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}, and no model folder.")
    check_digest(path)
    try:
        checkpoint = load_torch_file(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint of rim-train, or is damaged ({error}).") from error
    if not isinstance(checkpoint, dict) or not {"model_arguments", "state_dict"} <= set(checkpoint):
        raise ValueError(f"{path} is not a checkpoint of rim-train.")
    upgraded = upgrade_checkpoint(checkpoint)
    weights, training = upgraded["state_dict"], upgraded.get("training", {})
    named = isinstance(weights, Mapping) and all(isinstance(value, Tensor) for value in weights.values())
    if not named or not isinstance(upgraded["model_arguments"], Mapping) or not isinstance(training, Mapping):
        raise ValueError(f"{path} is not a checkpoint of rim-train: it holds no weights with names.")
    return upgraded
