"""Recognition networks from files: the published formats by name, and our own."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from rim_lightning.files import whole_file
from rim_lightning.networks.architecture_check import check_backbone, check_finite, check_size
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.input import fill_from_rgb
from rim_lightning.networks.checkpoints import load_network
from rim_lightning.networks.earlier_names import current_names
from rim_lightning.networks.published.adaface import load_adaface, load_cvlface
from rim_lightning.networks.published.facenet import load_facenet_pytorch
from rim_lightning.networks.published.insightface import load_insightface
from rim_lightning.networks.published.iresnet import load_arcface_torch, load_face_evolve
from rim_lightning.networks.published.mobilefacenet_onnx import load_mobilefacenet_onnx
from rim_lightning.networks.published.onnx_embedder import load_onnx
from rim_lightning.networks.published.vggface2 import load_vggface2
from rim_lightning.networks.tiny_weights import flush_tiny_weights
from rim_lightning.networks.torch_files import load_torch_file

if TYPE_CHECKING:
    from rim_lightning.networks.compared.guided import GuidedRecognizer


def load_teacher(weight_format: str, path: str | Path, **settings: Any) -> Backbone:
    """Load a recognition network from a file of a given format.

    Args:
        weight_format: Name from `WEIGHT_FORMATS`.
        path: File of that format.
        **settings: What the reader of the format must know beside the file, such as `color` of `load_cvlface`.
            None counts as not given.

    Returns:
        The network in eval mode, on the CPU, without tiny weights (`flush_tiny_weights`).

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the format is unknown (the message lists the formats), has no such setting, or the file is of
            another kind.
    """
    if weight_format not in WEIGHT_FORMATS:
        raise ValueError(f'There is no weight format "{weight_format}"; choose one of {", ".join(WEIGHT_FORMATS)}.')
    reader, given = (
        WEIGHT_FORMATS[weight_format],
        {name: value for name, value in settings.items() if value is not None},
    )
    for name in given:
        if name not in inspect.signature(reader).parameters:
            raise ValueError(
                f"Files of the format {weight_format} need no {name}: leave it out of teacher.weights, or make it null."
            )
    backbone = reader(path, **given)
    check_finite(backbone, path)
    return flush_tiny_weights(backbone)


def fill_backbone(backbone: Backbone, setting: str, weight_format: str, path: str, **settings: Any) -> None:
    """Copy the weights of a file into a recognition network.

    Args:
        backbone: Network built from the configuration.
        setting: Setting that describes the network, for the error message.
        weight_format: Format of the file, see `load_teacher`.
        path: File of that format.
        **settings: As of `load_teacher`.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file cannot be read, or holds a different network from the one in `setting`.
    """
    _fill(backbone, setting, load_teacher(weight_format, path, **settings), path, widen=False)


def fill_wider_backbone(backbone: Backbone, setting: str, weight_format: str, path: str, **settings: Any) -> None:
    """Copy the weights of a file into a network of the same layers that may be wider, so that it computes the same.

    Arguments and errors are those of `fill_backbone`; see `widened`.
    """
    _fill(backbone, setting, load_teacher(weight_format, path, **settings), path, widen=True)


def _fill(backbone: Backbone, setting: str, source: Backbone, path: str, widen: bool) -> None:
    try:
        fill_from_rgb(backbone, source.state_dict(), widen)
    except (RuntimeError, ValueError) as error:
        widely = ", or a wider one of the same layers" if widen else ""
        raise ValueError(
            f"The weights in {path} belong to a different network from the configured one: set {setting} to its "
            f"architecture{widely}."
        ) from error


def save_backbone(path: str | Path, backbone: Backbone, name: str, arguments: dict[str, Any]) -> None:
    """Write a recognition network as one file, in one piece.

    Args:
        path: File to write. `load_backbone` reads it.
        backbone: Network built by `build_backbone(name, **arguments)`.
        name: Name of its architecture.
        arguments: Its arguments: numbers, strings and tuples of them only, so that the file opens with
            `weights_only=True`.
    """
    content = {"name": name, "arguments": arguments, "state_dict": backbone.state_dict()}
    # torch writes the name of a file it opens itself into the file, and the name of a part differs with every process.
    with whole_file(path) as part, open(part, "wb") as file:
        torch.save(content, file)


def load_backbone(path: str | Path) -> Backbone:
    """Load the network that `save_backbone` wrote.

    Args:
        path: File written by `save_backbone`.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If `save_backbone` of this version did not write the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no backbone file at {path}.")
    try:
        content = load_torch_file(path)
        arguments = {"name": content["name"], **current_names(content["arguments"])}
        numbers = sum(map(torch.numel, content["state_dict"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a backbone file of this version: write it with save_backbone.") from error
    check_backbone(arguments, path, "arguments")
    check_size(partial(build_backbone, **arguments), numbers, path)
    backbone = build_backbone(**arguments)
    try:
        backbone.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise ValueError(f"{path} is not a backbone file of this version: write it with save_backbone.") from error
    return backbone.eval()


def load_trained_recognizer(path: str | Path) -> Backbone:
    """Load the network that reads probes from a recognizer's checkpoint.

    Args:
        path: Checkpoint of rim-train.

    Returns:
        The learner of the recognizer in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is not the checkpoint of a recognizer, or its learner reads more than faces.
    """
    recognizer = cast("GuidedRecognizer", load_network(path, "recognizer"))
    if recognizer.size_input:
        raise ValueError(
            f"The recognizer in {path} reads the sizes of probes and cannot be a teacher: choose one that was trained "
            "with system.recognizer.size_input=false."
        )
    return recognizer.learner


WEIGHT_FORMATS: dict[str, Callable[..., Backbone]] = {
    "mobilefacenet_onnx": load_mobilefacenet_onnx,
    "insightface": load_insightface,
    "onnx": load_onnx,
    "arcface_torch": load_arcface_torch,
    "face_evolve": load_face_evolve,
    "adaface": load_adaface,
    "cvlface": load_cvlface,
    "facenet_pytorch": load_facenet_pytorch,
    "vggface2": load_vggface2,
    "rim_lightning": load_backbone,
    "rim_train": load_trained_recognizer,
}
