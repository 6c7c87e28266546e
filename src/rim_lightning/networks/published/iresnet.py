"""Weights of IResNet from files of InsightFace's arcface_torch and of face.evoLVe."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isqrt
from pathlib import Path

import torch
from torch import Tensor

from rim_lightning.networks.backbones.iresnet import IResNet, Layout
from rim_lightning.networks.published.state_dict import (
    COUNTER,
    MOST_BLOCKS,
    blocks_per_stage,
    build_within,
    fill,
    read_state_dict,
)


def load_arcface_torch(path: str | Path) -> IResNet:
    """Load an IResNet from a backbone.pth of deepinsight/insightface, recognition/arcface_torch.

    Depth, width, embedding and input size are read from the file. The published input, (x / 255 - .5) / .5 in RGB
    (arcface_torch/inference.py), equals ours.

    Args:
        path: File of PyTorch.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a state dict of this network. The message names the file and the first wrong tensor.
    """
    return read_arcface_torch(read_state_dict(path), path)


def read_arcface_torch(state: dict[str, Tensor], path: str | Path) -> IResNet:
    """Build an IResNet from a state dict with the names of arcface_torch; see `load_arcface_torch`."""
    units = blocks_per_stage(state, "conv1.weight")
    model = _build(state, "arcface_torch", units, "conv1.weight", "fc.weight", path)
    return _fill(model, state, arcface_torch_names(units), "fc.bias", path)


def load_face_evolve(path: str | Path) -> IResNet:
    """Load an IResNet from a checkpoint of ZhaoJ9014/face.evoLVe: IR_50 or deeper, for an input of 112.

    Depth, width, embedding and input size are read from the file. The published input, ToTensor and Normalize(.5, .5)
    of PIL images (train.py, config.py), is RGB in [-1, 1], which equals ours.

    Args:
        path: File of PyTorch.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a state dict of this network. The message names the file and the first wrong tensor.
    """
    return read_face_evolve(read_state_dict(path), "face_evolve", path)


def read_face_evolve(state: dict[str, Tensor], layout: Layout, path: str | Path) -> IResNet:
    """Build an IResNet from a state dict with the names of face.evoLVe, which AdaFace has too.

    Args:
        state: Published tensors by name.
        layout: "face_evolve" or "adaface".
        path: Their file, for error messages.

    Returns:
        The network in eval mode, on the CPU. Its channels are in the order of the file.

    Raises:
        ValueError: If it is not a state dict of this network. The message names the file and the first wrong tensor.
    """
    second = "4" if layout == "adaface" else "3"  # number of the second convolution of a unit
    second_conv = re.compile(rf"body\.\d+\.res_layer\.{second}\.weight")
    # Each stage has channels of its own.
    units_by_channels = Counter(value.shape[:1] for name, value in state.items() if second_conv.fullmatch(name))
    units = tuple(count for _, count in sorted(units_by_channels.items()))
    model = _build(state, layout, units, "input_layer.0.weight", "output_layer.3.weight", path)
    return _fill(model, state, face_evolve_names(units, layout), "output_layer.3.bias", path)


def arcface_torch_names(units: Sequence[int]) -> dict[str, str]:
    """Name the tensors of an IResNet as arcface_torch does.

    Args:
        units: Residual units of each stage.

    Returns:
        Our name -> name in arcface_torch, for every tensor except the counters of batch norms.
    """
    parts = {"norm1": "bn1", "conv1": "conv1", "norm2": "bn2", "activation": "prelu", "conv2": "conv2", "norm3": "bn3"}
    unit_names = {**parts, "shortcut.0": "downsample.0", "shortcut.1": "downsample.1"}
    ends = {"stem.0": "conv1", "stem.1": "bn1", "stem.2": "prelu"}
    ends |= {"embed.0": "bn2", "embed.3": "fc", "embed.4": "features"}
    return _names(ends, unit_names, units, "arcface_torch", lambda stage, unit: f"layer{stage + 1}.{unit}")


def face_evolve_names(units: Sequence[int], layout: Layout = "face_evolve") -> dict[str, str]:
    """Name the tensors of an IResNet as face.evoLVe and AdaFace do.

    Args:
        units: Residual units of each stage.
        layout: "face_evolve", or "adaface", whose units have one norm more.

    Returns:
        Our name -> published name, for every tensor except the counters of batch norms.
    """
    middle = ("norm2",) if layout == "adaface" else ()
    order = ("norm1", "conv1", *middle, "activation", "conv2", "norm3")
    parts = {ours: str(number) for number, ours in enumerate(order)}
    unit_names = {ours: f"res_layer.{theirs}" for ours, theirs in parts.items()}
    unit_names |= {"shortcut.0": "shortcut_layer.0", "shortcut.1": "shortcut_layer.1"}
    ends = {"stem.0": "input_layer.0", "stem.1": "input_layer.1", "stem.2": "input_layer.2"}
    ends |= {"embed.0": "output_layer.0", "embed.3": "output_layer.3", "embed.4": "output_layer.4"}
    return _names(ends, unit_names, units, layout, lambda stage, unit: f"body.{sum(units[:stage]) + unit}")


def _names(
    ends: Mapping[str, str],
    unit_names: Mapping[str, str],
    units: Sequence[int],
    layout: Layout,
    unit_prefix: Callable[[int, int], str],
) -> dict[str, str]:
    """Return our name -> published name for every tensor of an IResNet.

    Args:
        ends: Our module -> published module, in stem and head.
        unit_names: Our module -> published module, within a residual unit.
        units: Residual units of each stage.
        layout: Layout of the published network.
        unit_prefix: Stage and number of a unit in it -> published name of the unit.
    """
    modules = dict(ends)
    for stage, repeats in enumerate(units):
        for unit in range(repeats):
            prefix = unit_prefix(stage, unit)
            modules |= {f"body.{stage}.{unit}.{ours}": f"{prefix}.{theirs}" for ours, theirs in unit_names.items()}
    # Not all of these modules exist in every layout. A skeleton of the smallest width shows which ones hold tensors.
    skeleton = IResNet(width=1, units=units, embedding_size=1, input_size=16, layout=layout)
    names = {}
    for name in skeleton.state_dict():
        if not name.endswith(COUNTER):
            module, _, tensor = name.rpartition(".")
            names[name] = f"{modules[module]}.{tensor}"
    return names


def _build(
    state: Mapping[str, Tensor], layout: Layout, units: Sequence[int], stem: str, linear: str, path: str | Path
) -> IResNet:
    """Build the IResNet whose stem and linear map have the shapes of those tensors of `state`."""
    shapes = [tuple(state[name].shape) if name in state else () for name in (stem, linear)]
    fits = [len(s) for s in shapes] == [4, 2] and 0 not in shapes[0] and shapes[1][1] >= 8 * shapes[0][0]
    if len(units) != 4 or not 1 <= min(units) <= max(units) <= MOST_BLOCKS or not fits:
        raise ValueError(f"{path} does not hold an IResNet named as in {layout}.")
    width, (embedding_size, features) = shapes[0][0], shapes[1]
    side = 16 * isqrt(features // (8 * width))
    return build_within(partial(IResNet, width, units, embedding_size, side, layout), state, path)


def _fill(
    model: IResNet, state: dict[str, Tensor], names: Mapping[str, str], bias_name: str, path: str | Path
) -> IResNet:
    """Copy `state` into the model and fold the bias of the linear map, which our head does not have."""
    bias = state.pop(bias_name, None)
    if bias is None or bias.shape != (model.embedding_size,):
        raise ValueError(f"{path} lacks {bias_name}, which this IResNet needs.")
    fill(model, state, names, path)
    with torch.no_grad():
        # A norm of mean m on Wx + b equals a norm of mean m - b on Wx.
        model.get_buffer("embed.4.running_mean").sub_(bias)
    return model.eval()
