"""Weights of MobileFaceNet from published ONNX files. Nothing in a file is executed."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rim_lightning.networks.architecture_check import check_arguments
from rim_lightning.networks.backbones.mobilefacenet import ConvUnit, InvertedResidual, MobileFaceNet
from rim_lightning.networks.published.onnx_graph import (
    DAMAGED_GRAPH,
    GraphReader,
    attributes_of,
    node_title,
    read_graph,
)
from rim_lightning.networks.published.state_dict import build_within


def load_mobilefacenet_onnx(path: str | Path) -> MobileFaceNet:
    """Load a MobileFaceNet from an ONNX file whose input is BGR, (pixel - 127) / 128.

    Width, number of blocks, embedding and input size are read from the graph. Then every node (operation, order,
    connections, strides, padding, groups, shapes of the weights) must be that of our network. The channels of the stem
    are turned to RGB.

    Args:
        path: ONNX file.

    Returns:
        The network in the folded form, without batch norms, in eval mode on the CPU.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is not an ONNX file, or its graph is not this MobileFaceNet. The message names the first
            node that differs.
    """
    path = Path(path)
    graph = read_graph(path)
    try:
        model = read_mobilefacenet(GraphReader(graph, path, "MobileFaceNet"), {})
    except DAMAGED_GRAPH as error:
        raise ValueError(f"{path} is not the MobileFaceNet that this reader knows: its graph is damaged.") from error
    stem = model.get_parameter("stage1.0.conv.weight")  # (width, 3, 3, 3)
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())  # BGR -> RGB
    return model.eval()


def read_mobilefacenet(reader: GraphReader, pixels: dict[str, float]) -> MobileFaceNet:
    """Build the network of a graph, in the order of the channels of the file.

    Args:
        reader: Nodes of the graph.
        pixels: `pixel_mean` and `pixel_scale` of the network, if they are not its own.

    Raises:
        ValueError: If the graph is not a MobileFaceNet. The message names the first node that differs.
    """
    arguments = {**_arguments(reader), **pixels}
    check_arguments(MobileFaceNet, arguments, reader.path, "its graph")
    model = build_within(partial(MobileFaceNet, **arguments, normalization="none"), reader.weights, reader.path)
    _fill(model, reader)
    return model


def _arguments(reader: GraphReader) -> dict[str, Any]:
    """Return the arguments of the MobileFaceNet that the graph would have to be."""
    path, dims = reader.path, reader.input_shape
    convs = [node for node in reader.nodes if node.op_type == "Conv"]
    if not convs or len(dims) != 4 or dims[2] != dims[3] or dims[2] < 16 or dims[2] % 16:
        raise ValueError(
            f"{path} is not a MobileFaceNet: it has {len(convs)} convolutions and an input of shape {dims}."
        )
    blocks = _blocks(reader)
    matrices = [matrix for node in reader.nodes if (matrix := reader.linear_matrix(node)) is not None]
    first, last = reader.weight(convs[0], 1), matrices[-1] if matrices else reader.weight(convs[-1], 1)
    if first is None or last is None or not first.ndim or not last.ndim:
        raise ValueError(f"{path} is not a MobileFaceNet: {node_title(convs[0])} has no stored weight.")
    # The second convolution of the stem has as many groups as the narrow network has channels.
    groups = attributes_of(convs[1]).get("group", 1)
    return {
        "width": groups,
        "channel_scale": first.shape[0] // groups,
        "blocks": blocks,
        "embedding_size": last.shape[0],
        "input_size": dims[2],
    }


def _blocks(reader: GraphReader) -> tuple[int, ...]:
    """Return the number of residual blocks at each of the last three sizes."""
    additions = [0]  # residual additions since each convolution of stride 2
    for node in reader.nodes:
        if node.op_type == "Conv" and attributes_of(node).get("strides", [1, 1])[0] == 2:
            additions.append(0)
        elif node.op_type == "Add":
            additions[-1] += 1
    if len(additions) != 5:
        raise ValueError(
            f"{reader.path} is not a MobileFaceNet: it halves its input {len(additions) - 1} times instead of 4."
        )
    return tuple(additions[2:])


def _fill(model: MobileFaceNet, reader: GraphReader) -> None:
    """Copy the weights of a graph into the model, in the order of the forward pass."""
    source = reader.source
    for layer in (layer for stage in model.stage_modules() for layer in stage.children()):
        if isinstance(layer, InvertedResidual):
            source = _read_residual(reader, layer, source)
        elif isinstance(layer, ConvUnit):
            source = _read_unit(reader, layer, source)
    head: Any = model.embed
    embedding: nn.Conv2d = head[1].conv
    source = _read_unit(reader, head[0], source)
    flat = reader.following(("Reshape", "Flatten"), {source})
    if flat is None:  # a 1x1 convolution, then flat
        source = reader.read_conv(embedding, source)
        reader.next_node(("Reshape", "Flatten"), {source})
    else:  # flat, then a linear map and its norm
        _read_linear_end(reader, embedding, flat.output[0])
    reader.expect_end()


def _read_linear_end(reader: GraphReader, embedding: nn.Conv2d, source: str) -> None:
    """Fill the 1x1 convolution of the head from a linear map that reads `source` and the norm behind it."""
    output, bias = reader.read_linear(embedding.weight.flatten(1), source)
    norm = reader.following(("BatchNormalization",), {output})
    target = embedding.get_parameter("bias")
    with torch.no_grad():
        target.copy_(bias)
        if norm is not None:
            scale, shift = reader.affine(norm, target)
            embedding.weight.mul_(scale.reshape(-1, 1, 1, 1))
            target.mul_(scale).add_(shift)


def _read_residual(reader: GraphReader, block: InvertedResidual, source: str) -> str:
    """Fill a residual block that reads `source`, and return the name of its output."""
    output = source
    for unit in (block.expand, block.depthwise, block.project):
        output = _read_unit(reader, unit, output)
    return reader.next_node(("Add",), {source, output}).output[0] if block.residual else output


def _read_unit(reader: GraphReader, unit: ConvUnit, source: str) -> str:
    """Fill a convolution and its PReLU that read `source`, and return the name of their output."""
    output = reader.read_conv(unit.conv, source)
    return reader.read_prelu(unit.activation, output) if isinstance(unit.activation, nn.PReLU) else output
