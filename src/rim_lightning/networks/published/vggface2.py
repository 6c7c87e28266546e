"""Weights of ResNet-50 from files of VGGFace2-pytorch."""

import re
from functools import partial
from pathlib import Path

import torch

from rim_lightning.networks.backbones.resnet50 import ResNet50
from rim_lightning.networks.published.state_dict import (
    COUNTER,
    blocks_per_stage,
    build_within,
    fill,
    read_state_dict,
)

CONVERSION = (
    "import pickle, torch; torch.save({k: torch.from_numpy(v) for k, v in "
    "pickle.load(open('net.pkl', 'rb'), encoding='latin1').items()}, 'net.pth')"
)
"""Python that converts a published pickle, which can run code, to a file that cannot."""


def load_vggface2(path: str | Path) -> ResNet50:
    """Load ResNet-50 from a state dict of `resnet50` of cydonia999/VGGFace2-pytorch (resnet50_ft_weight, ...).

    Depth and width are read from the file. The embedding is the pooled last stage, and the input is 224. The classifier
    that these files also hold (`fc`) is skipped. The published stem takes BGR; its channels are turned to RGB.

    The published .pkl is not opened, because that could run code. The error message says how to convert it. The
    `resnet50` of torchvision has the same names and shapes, but other strides and another input: its weights load here
    without an error and give meaningless embeddings.

    Args:
        path: File of PyTorch.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a state dict of this network. The message names the file and the first wrong tensor.
    """
    try:
        state = read_state_dict(path)
    except ValueError as error:
        if Path(path).suffix != ".pkl":
            raise
        raise ValueError(
            f"{path} is a pickle, which can run code when it is read. If you trust it, convert it once and give the "
            f'.pth file: python -c "{CONVERSION}"'
        ) from error
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    blocks = blocks_per_stage(state, "conv3.weight")
    if "conv1.weight" not in state or state["conv1.weight"].ndim != 4 or 0 in blocks:
        raise ValueError(f"{path} does not hold a ResNet-50 named as in VGGFace2-pytorch.")
    width = state["conv1.weight"].shape[0]
    model = build_within(partial(ResNet50, width, blocks, 32 * width), state, path)
    names = {name: vggface2_name(name) for name in model.state_dict() if not name.endswith(COUNTER)}
    fill(model, state, names, path)
    stem = model.get_parameter("stem.0.weight")  # (width, 3, 7, 7)
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())  # BGR -> RGB
    return model.eval()


def vggface2_name(name: str) -> str:
    """Return the name in VGGFace2-pytorch of a tensor of our `ResNet50`.

    Args:
        name: Name of the tensor in `ResNet50`.

    Returns:
        Its name in VGGFace2-pytorch.

    Example:
        >>> vggface2_name("body.0.1.norm3.weight")
        'layer1.1.bn3.weight'
    """
    name = re.sub(r"^body\.(\d)", lambda stage: f"layer{int(stage[1]) + 1}", name)
    for ours, theirs in {"stem.0": "conv1", "stem.1": "bn1", "norm": "bn", "shortcut": "downsample"}.items():
        name = name.replace(ours, theirs)
    return name
