"""Teachers from files: the published formats by name, and our own."""

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.checkpoints import current_names, load_network
from rim_lightning.networks.published.facenet import load_facenet_pytorch
from rim_lightning.networks.published.iresnet import load_arcface_torch, load_face_evolve
from rim_lightning.networks.published.mobilefacenet_onnx import load_mobilefacenet_onnx
from rim_lightning.networks.published.vggface2 import load_vggface2


def save_backbone(path: str | Path, backbone: Backbone, name: str, arguments: dict) -> None:
    """Write `backbone`, built by `build_backbone(name, **arguments)`, as one file that `load_backbone` reads: whole, or
    not at all.

    `arguments` holds numbers, strings and tuples of them only, so that the file opens with `weights_only=True`.
    """
    partial = Path(path).with_suffix(".partial")
    torch.save({"name": name, "arguments": arguments, "state_dict": backbone.state_dict()}, partial)
    partial.replace(path)


def load_backbone(path: str | Path) -> Backbone:
    """The network `save_backbone` wrote, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was not written by `save_backbone`, or by another version of the network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no backbone file at {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        backbone = build_backbone(content["name"], **current_names(content["arguments"]))
        backbone.load_state_dict(content["state_dict"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a backbone file of this version: write it with save_backbone.") from error
    return backbone.eval()


def load_trained_recognizer(path: str | Path) -> Backbone:
    """The learner of a recognizer that rim-train trained, from its checkpoint, in eval mode.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is no checkpoint of a recognizer.
    """
    return load_network(path, "recognizer").learner


WEIGHT_FORMATS: dict[str, Callable[[str | Path], Backbone]] = {
    "mobilefacenet_onnx": load_mobilefacenet_onnx,
    "arcface_torch": load_arcface_torch,
    "face_evolve": load_face_evolve,
    "facenet_pytorch": load_facenet_pytorch,
    "vggface2": load_vggface2,
    "rim_lightning": load_backbone,
    "rim_train": load_trained_recognizer,
}


def load_teacher(weight_format: str, path: str | Path) -> Backbone:
    """The network stored at `path` in the format of that name, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown format (the message lists them) or a file of another kind.
    """
    if weight_format not in WEIGHT_FORMATS:
        raise ValueError(f'There is no weight format "{weight_format}"; choose one of {", ".join(WEIGHT_FORMATS)}.')
    return WEIGHT_FORMATS[weight_format](path)


def fill_backbone(backbone: nn.Module, setting: str, weight_format: str, path: str) -> None:
    """Give a recognition network the weights of a file (see `load_teacher`).

    Raises:
        FileNotFoundError, ValueError: no such file, or one of another network than `setting` of the configuration.
    """
    weights = load_teacher(weight_format, path).state_dict()
    try:
        backbone.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {path} belong to another network than the configuration's: set {setting} to its "
            "architecture."
        ) from error
