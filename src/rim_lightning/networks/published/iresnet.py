"""Published IResNet weights: InsightFace's arcface_torch and face.evoLVe, from files the user has."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor

from rim_lightning.networks.backbones.iresnet import IResNet, Layout
from rim_lightning.networks.published.state_dict import COUNTER, fill, read_state_dict


def load_arcface_torch(path: str | Path) -> IResNet:
    """IResNet in eval mode from a backbone.pth of deepinsight/insightface, recognition/arcface_torch.

    Depth, width, embedding and input size are read off the file. Its input, (x / 255 - .5) / .5 in RGB
    (arcface_torch/inference.py), is ours.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or not this network's; the message names the file and the first tensor.
    """
    state = read_state_dict(path)
    units = tuple(
        sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.conv1\.weight", name)) for name in state) for stage in range(1, 5)
    )
    model = _empty(state, "arcface_torch", units, "conv1.weight", "fc.weight", path)
    return _filled(model, state, arcface_torch_names(units), "fc.bias", path)


def load_face_evolve(path: str | Path) -> IResNet:
    """IResNet in eval mode from an IR_50 (or deeper, 112 input) checkpoint of ZhaoJ9014/face.evoLVe.

    Depth, width, embedding and input size are read off the file. Its input, ToTensor and Normalize(.5, .5) of PIL
    images (train.py, config.py), is RGB in [-1, 1], which is ours.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no state dict, or not this network's; the message names the file and the first tensor.
    """
    state = read_state_dict(path)
    second = [v for name, v in state.items() if re.fullmatch(r"body\.\d+\.res_layer\.3\.weight", name)]
    channels = Counter(value.shape[0] for value in second)
    units = tuple(count for _, count in sorted(channels.items()))
    model = _empty(state, "face_evolve", units, "input_layer.0.weight", "output_layer.3.weight", path)
    return _filled(model, state, face_evolve_names(units), "output_layer.3.bias", path)


def arcface_torch_names(units: tuple[int, ...]) -> dict[str, str]:
    """Our name -> arcface_torch's name for every tensor of an IResNet with these units per stage."""
    parts = {"norm1": "bn1", "conv1": "conv1", "norm2": "bn2", "activation": "prelu", "conv2": "conv2", "norm3": "bn3"}
    ends = {"stem.0": "conv1", "stem.1": "bn1", "stem.2": "prelu"}
    ends |= {"embed.0": "bn2", "embed.3": "fc", "embed.4": "features"}
    unit_names = {**parts, "shortcut.0": "downsample.0", "shortcut.1": "downsample.1"}
    return _names(ends, unit_names, units, "arcface_torch", lambda stage, unit: f"layer{stage + 1}.{unit}")


def face_evolve_names(units: tuple[int, ...]) -> dict[str, str]:
    """Our name -> face.evoLVe's name for every tensor of an IResNet with these units per stage."""
    parts = {"norm1": "0", "conv1": "1", "activation": "2", "conv2": "3", "norm3": "4"}
    ends = {"stem.0": "input_layer.0", "stem.1": "input_layer.1", "stem.2": "input_layer.2"}
    ends |= {"embed.0": "output_layer.0", "embed.3": "output_layer.3", "embed.4": "output_layer.4"}
    unit_names = {ours: f"res_layer.{theirs}" for ours, theirs in parts.items()}
    unit_names |= {"shortcut.0": "shortcut_layer.0", "shortcut.1": "shortcut_layer.1"}
    return _names(ends, unit_names, units, "face_evolve", lambda stage, unit: f"body.{sum(units[:stage]) + unit}")


def _names(
    ends: Mapping[str, str],
    unit_names: Mapping[str, str],
    units: tuple[int, ...],
    layout: Layout,
    prefix: Callable[[int, int], str],
) -> dict[str, str]:
    modules = dict(ends)
    for stage, repeats in enumerate(units):
        for unit in range(repeats):
            modules |= {f"body.{stage}.{unit}.{a}": f"{prefix(stage, unit)}.{b}" for a, b in unit_names.items()}
    # A skeleton of the narrowest width tells which of these modules exist and which tensors they hold.
    skeleton = IResNet(width=1, units=units, embedding_size=1, input_size=16, layout=layout)
    names = {}
    for name in skeleton.state_dict():
        if not name.endswith(COUNTER):
            module, _, tensor = name.rpartition(".")
            names[name] = f"{modules[module]}.{tensor}"
    return names


def _empty(
    state: Mapping[str, Tensor], layout: Layout, units: tuple[int, ...], stem: str, linear: str, path: str | Path
) -> IResNet:
    """The IResNet whose stem and linear map have the shapes in `state`."""
    shapes = [tuple(state[name].shape) if name in state else () for name in (stem, linear)]
    if len(units) != 4 or 0 in units or [len(s) for s in shapes] != [4, 2] or shapes[1][1] < 8 * shapes[0][0]:
        raise ValueError(f"{path} does not hold an IResNet named as in {layout}.")
    width, (embedding_size, features) = shapes[0][0], shapes[1]
    return IResNet(width, units, embedding_size, 16 * isqrt(features // (8 * width)), layout)


def _filled(
    model: IResNet, state: dict[str, Tensor], names: dict[str, str], bias_name: str, path: str | Path
) -> IResNet:
    bias = state.pop(bias_name, None)
    if bias is None:
        raise ValueError(f"{path} lacks {bias_name}, which this IResNet needs.")
    fill(model, state, names, path)
    with torch.no_grad():
        model.embed[4].running_mean.sub_(bias)  # norm(Wx + b) with mean m is norm(Wx) with mean m - b
    return model.eval()
