"""Weights of IResNet from files of AdaFace and of CVLface."""

import re
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.published.iresnet import read_arcface_torch, read_face_evolve
from rim_lightning.networks.published.state_dict import missing_weights, read_state_dict

CALLBACK = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
"""Class that checkpoints of Lightning before version 1.5 name."""
LARGEST_SETTINGS = 2**16
"""Most bytes of a model.yaml that are looked at."""
ORDERS = {"rgb": "RGB", "bgr": "BGR"}
"""Value of `color` -> value of `color_space` in a model.yaml."""


def load_adaface(path: str | Path) -> IResNet:
    """Load an IResNet from a checkpoint of mk-minchul/AdaFace: IR-18 to IR-101, not SE, for an input of 112.

    Depth, width, embedding and input size are read from the file. It is a checkpoint of Lightning, whose loss (`head`)
    is skipped, or a state dict of the network alone. The published input, (x / 255 - .5) / .5 in BGR (inference.py),
    equals ours once the channels of the stem are turned to RGB.

    Args:
        path: File such as adaface_ir50_ms1mv2.ckpt.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a checkpoint of this network. The message names the file and the first wrong tensor.
    """
    state = read_state_dict(path, part="state_dict", inert=(CALLBACK,))
    if any(name.startswith("model.") for name in state):
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
    state = {name.removeprefix("model."): value for name, value in state.items()}
    return _with_rgb(read_face_evolve(state, "adaface", path))


def load_cvlface(path: str | Path, color: str | None = None) -> IResNet:
    """Load an IResNet from a file of mk-minchul/CVLface: models iresnet and iresnet_insightface.

    Depth, width, embedding and input size are read from the file. The published input is (x / 255 - .5) / .5. The order
    of its channels is the `color_space` of the model.yaml that is published beside the file.

    Args:
        path: model.safetensors or model.pt.
        color: "rgb" or "bgr", if there is no model.yaml.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a state dict of such a network, or the order of the channels is unknown.
    """
    path = Path(path)
    state = _read_safetensors(path) if path.suffix == ".safetensors" else read_state_dict(path)
    state = {re.sub(r"^(model\.)?net\.", "", name): value for name, value in state.items()}
    if any(".attn." in name or name.startswith(("patch_embed", "vit.")) for name in state):
        raise ValueError(
            f"{path} holds a transformer (ViT, Swin), which has no stage maps to teach: take an IResNet of CVLface, "
            "such as cvlface_adaface_ir101_webface12m."
        )
    order = _channel_order(path, color)
    insightface = "conv1.weight" in state
    model = read_arcface_torch(state, path) if insightface else read_face_evolve(state, "adaface", path)
    return _with_rgb(model) if order == "BGR" else model


def _channel_order(path: Path, color: str | None) -> Literal["RGB", "BGR"]:
    """Return the order of the channels of a file of CVLface, from its model.yaml or from a setting."""
    if color is not None and color not in ORDERS:
        raise ValueError(f'teacher.weights.color is "{color}": give rgb or bgr.')
    given = None if color is None else ORDERS[color]
    for settings in (path.with_suffix(".yaml"), path.parent / "pretrained_model" / "model.yaml"):
        if settings.is_file():
            with open(settings, encoding="utf-8", errors="replace") as file:
                stated = re.findall(r"^color_space:\s*['\"]?(\w+)['\"]?\s*$", file.read(LARGEST_SETTINGS), re.MULTILINE)
            if len(stated) != 1 or stated[0] not in ORDERS.values():
                raise ValueError(f"{settings} has no color_space of RGB or BGR: get the file again from CVLface.")
            if given not in (None, stated[0]):
                raise ValueError(
                    f"teacher.weights.color={color} contradicts {settings}, which says {stated[0]}: leave color out, "
                    "or correct that file."
                )
            given = stated[0]
            break
    if given is None:
        raise ValueError(
            f"There is no model.yaml beside {path} that says the order of its color channels: put it there, or add "
            "color: rgb or color: bgr to teacher.weights."
        )
    return "BGR" if given == "BGR" else "RGB"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise missing_weights(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a file of safetensors ({error}): copy it again.") from error


def _with_rgb(model: IResNet) -> IResNet:
    """Turn the channels of the stem from BGR to RGB."""
    stem = model.get_parameter("stem.0.weight")  # (width, 3, 3, 3)
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())
    return model
