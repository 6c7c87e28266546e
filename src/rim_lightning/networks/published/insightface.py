"""Weights of insightface's recognition models from their ONNX files. Nothing in a file is executed."""

from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rim_lightning.networks.architecture_check import check_arguments
from rim_lightning.networks.backbones.iresnet import IResNet, IRUnit
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.networks.published.mobilefacenet_onnx import read_mobilefacenet
from rim_lightning.networks.published.onnx_graph import (
    DAMAGED_GRAPH,
    GraphReader,
    attributes_of,
    node_title,
    read_graph,
)
from rim_lightning.networks.published.state_dict import build_within

CENTER = 127.5


def load_insightface(path: str | Path) -> IResNet | MobileFaceNet:
    """Load a recognition model of insightface: w600k_r50.onnx, w600k_mbf.onnx, glintr100.onnx and their like.

    A graph with grouped convolutions is a MobileFaceNet, any other an IResNet. Depth, width, embedding and input size
    are read from the graph. Then every node (operation, connections, strides, padding, groups, shapes of the weights)
    must be that of our network. The published input (insightface/model_zoo/arcface_onnx.py), RGB and
    (pixel - 127.5) / 127.5, equals ours. A graph that begins with Sub and Mul takes pixels and does that itself; its
    factor goes into the first convolution.

    Args:
        path: ONNX file.

    Returns:
        The network in the folded form, in eval mode on the CPU: an IResNet of the layout "insightface", or a
        MobileFaceNet without batch norms.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is not an ONNX file, or its graph is neither network. The message names the first node
            that differs.
    """
    path = Path(path)
    graph = read_graph(path)
    try:
        grouped = any(node.op_type == "Conv" and attributes_of(node).get("group", 1) > 1 for node in graph.node)
        reader = GraphReader(graph, path, "MobileFaceNet" if grouped else "IResNet")
        reader.source, factor = _read_scaling(reader)
        if grouped:
            return read_mobilefacenet(reader, {"pixel_mean": CENTER, "pixel_scale": CENTER / factor}).eval()
        return _read_iresnet(reader, factor).eval()
    except DAMAGED_GRAPH as error:
        raise ValueError(f"{path} is no recognition model of insightface: its graph is damaged.") from error


def _read_scaling(reader: GraphReader) -> tuple[str, float]:
    """Read the Sub and Mul that a graph may begin with.

    Returns:
        Name of what the first convolution reads, and the factor on an input in [-1, 1] that makes it.
    """
    subtract = reader.following(("Sub",), {reader.source})
    if subtract is None:
        return reader.source, 1.0
    multiply = reader.next_node(("Mul",), {subtract.output[0]})
    numbers = []
    for node in (subtract, multiply):
        value = next((found for place in (0, 1) if (found := reader.weight(node, place)) is not None), None)
        if value is None or value.numel() != 1:
            raise reader.refusal(f"{node_title(node)} has no stored number")
        numbers.append(float(value))
    if numbers[0] != CENTER or numbers[1] <= 0 or reader.weight(subtract, 1) is None:
        raise reader.refusal(f"{node_title(subtract)} and {node_title(multiply)} do not take pixels around {CENTER}")
    return multiply.output[0], CENTER * numbers[1]


def _read_iresnet(reader: GraphReader, factor: float) -> IResNet:
    """Build the IResNet of a graph whose first convolution reads `factor` times an input in [-1, 1]."""
    arguments = _arguments(reader)
    check_arguments(IResNet, arguments, reader.path, "its graph")
    model = build_within(partial(IResNet, **arguments, layout="insightface"), reader.weights, reader.path)
    stem: Any = model.stem
    first, _, activation = stem
    source = reader.read_prelu(activation, reader.read_conv(first, reader.source))
    with torch.no_grad():
        first.weight.mul_(factor)
    for unit in (unit for stage in model.body for unit in stage.children() if isinstance(unit, IRUnit)):
        source = _read_unit(reader, unit, source)
    _read_head(reader, model, source)
    return model


def _arguments(reader: GraphReader) -> dict[str, Any]:
    """Return the arguments of the IResNet that the graph would have to be."""
    stem: tuple[int, ...] = ()
    units: list[int] = []
    linear: tuple[int, ...] = ()
    for node in reader.nodes:
        weight = reader.weight(node, 1)
        if node.op_type == "Conv" and weight is not None and weight.ndim == 4:
            stem = stem or tuple(weight.shape)
            if weight.shape[2] == 3 and attributes_of(node).get("strides", [1, 1])[0] == 2:
                units.append(0)
        elif node.op_type == "Add" and units:
            units[-1] += 1
        elif (matrix := reader.linear_matrix(node)) is not None:
            linear = tuple(matrix.shape)
    if len(units) != 4 or 0 in units or 0 in stem or not linear or linear[1] < 8 * stem[0]:
        raise ValueError(
            f"{reader.path} is not an IResNet: it has residual units {units} at its sizes and a linear map {linear}; "
            "take w600k_r50.onnx, w600k_mbf.onnx, glintr100.onnx or another IResNet or MobileFaceNet of insightface."
        )
    side = 16 * isqrt(linear[1] // (8 * stem[0]))
    return {"width": stem[0], "units": tuple(units), "embedding_size": linear[0], "input_size": side}


def _read_unit(reader: GraphReader, unit: IRUnit, source: str) -> str:
    """Fill a residual unit that reads `source`, and return the name of its output."""
    output = reader.read_conv(unit.conv1, reader.read_norm(unit.norm1, source))
    output = reader.read_conv(unit.conv2, reader.read_prelu(unit.activation, output))
    shrinking: Any = unit.shortcut
    shortcut = source if isinstance(unit.shortcut, nn.Identity) else reader.read_conv(shrinking[0], source)
    return reader.next_node(("Add",), {output, shortcut}).output[0]


def _read_head(reader: GraphReader, model: IResNet, source: str) -> None:
    """Fill the head of an IResNet. A linear map that has swallowed its last norm becomes one with an idle norm."""
    head: Any = model.embed
    norm, _, _, linear, last = head
    source = reader.next_node(("Reshape", "Flatten"), {reader.read_norm(norm, source)}).output[0]
    output, bias = reader.read_linear(linear.weight, source)
    if reader.ends():
        last.running_var.fill_(1 - last.eps)
    else:
        reader.read_norm(last, output)
    with torch.no_grad():
        last.running_mean.sub_(bias)  # a norm of mean m on Wx + b equals a norm of mean m - b on Wx
    reader.expect_end()
