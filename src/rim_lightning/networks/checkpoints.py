"""Trained networks from the checkpoints of rim-train, without Lightning and without any configuration."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM

DIGESTS = ".sha256"  # suffix of the file beside a checkpoint


RENAMED = {
    "recogniser": "recognizer",
    "hallucinator": "super_resolver",
    "normalisation": "normalization",
    "centres": "centers",
    "licence": "license",
    "DrawnDataModule": "SyntheticDataModule",
}
"""Names that stand in files of version 0.1, and what they are called now."""


class DamagedCheckpoint(ValueError):
    """A file is not what was written under its name."""


def load_rim(path: str | Path) -> RIM:
    """The trained RIM of a checkpoint; see `load_network`."""
    return load_network(path, "rim")


def load_network(path: str | Path, architecture: str | None = None) -> nn.Module:
    """The trained network of a checkpoint (with EMA: the averaged one), in eval mode, without any configuration.

    Only tensors and plain containers are unpickled (`weights_only=True`): a hostile file cannot run code.

    Args:
        architecture: what it must be, a name in `networks.architectures`; None: any.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is not a checkpoint of rim-train, is damaged, or holds
            another architecture.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}, and no model folder.")
    verify(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        raise ValueError(f"{path} is not a checkpoint of rim-train, or is damaged.") from error
    if not isinstance(checkpoint, dict) or not {"model_arguments", "state_dict"} <= set(checkpoint):
        raise ValueError(f"{path} is not a checkpoint of rim-train.")
    checkpoint = upgrade_checkpoint(checkpoint)
    found = checkpoint.get("architecture", "rim")  # before there were others, checkpoints did not say
    if architecture is not None and found != architecture:
        raise ValueError(f"{path} holds a {found}, where a {architecture} is needed: give a checkpoint of that kind.")
    own = f"{found}."
    try:
        network = build_architecture(found, checkpoint["model_arguments"])
        weights = {
            name.removeprefix(own): value for name, value in checkpoint["state_dict"].items() if name.startswith(own)
        }
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} was made by another version of this package: use that one, or train again."
        ) from error
    return network.eval()


def current_names(content: Any) -> Any:
    """Replace the names that version 0.1 wrote into its files: checkpoints, teachers and model cards.

    Args:
        content: Plain containers. Every key of a mapping is renamed, in a dotted key each part by itself.

    Returns:
        A copy with the names of this version. Values stay as they are.
    """
    if isinstance(content, Mapping):
        return {
            ".".join(RENAMED.get(part, part) for part in key.split("."))
            if isinstance(key, str)
            else key: current_names(value)
            for key, value in content.items()
        }
    return content


def upgrade_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Bring a checkpoint of rim-train to the names of this version. One of this version comes back unchanged."""
    named = ("model_arguments", "state_dict", "current_model_state")
    upgraded = {
        RENAMED.get(key, key): current_names(value) if key in named else value for key, value in checkpoint.items()
    }
    if "architecture" in upgraded:
        upgraded["architecture"] = RENAMED.get(upgraded["architecture"], upgraded["architecture"])
    return upgraded


def verify(path: str | Path) -> None:
    """Compare a checkpoint with the digests beside it; a file that was handed on without them passes.

    Raises:
        DamagedCheckpoint: the content is another than what was written.
    """
    known = known_digests(path)
    if not known or not Path(path).is_file():
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest not in known:
        raise DamagedCheckpoint(
            f"{path} is damaged: its content is not what was written. Take another checkpoint of the run, such as "
            f"best.ckpt, or start again without it; remove {Path(path).name}{DIGESTS} to load it all the same."
        )


def known_digests(path: str | Path) -> list[str]:
    """SHA-256, hexadecimal, of all that may lie at `path`, as the file beside it says; empty without that file."""
    digests = Path(str(path) + DIGESTS)
    return digests.read_text().split() if digests.is_file() else []


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "rim": RIM,
    "super_resolver": build_super_resolver,
    "recognizer": build_guided_recognizer,
}


def build_architecture(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network of that name with random weights; raises ValueError, which lists the names, for another."""
    if name not in ARCHITECTURES:
        raise ValueError(f'There is no architecture "{name}"; choose one of {", ".join(ARCHITECTURES)}.')
    return ARCHITECTURES[name](**arguments)
