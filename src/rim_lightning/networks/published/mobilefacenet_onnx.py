"""Weights of MobileFaceNet from a published ONNX file. Nothing in the file is executed."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rim_lightning.networks.architecture_check import check_arguments
from rim_lightning.networks.backbones.mobilefacenet import ConvUnit, InvertedResidual, MobileFaceNet
from rim_lightning.networks.published.state_dict import build_within

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


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
    if not path.is_file():
        raise FileNotFoundError(f"There is no MobileFaceNet weight file at {path}.")
    try:
        model = _read_network(_read_graph(path), path)
    except (IndexError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"{path} is not the MobileFaceNet that this reader knows: its graph is damaged.") from error
    stem = model.get_parameter("stage1.0.conv.weight")  # (width, 3, 3, 3)
    with torch.no_grad():
        stem.copy_(stem.flip(1).clone())  # BGR -> RGB
    return model.eval()


def _read_network(graph: "GraphProto", path: Path) -> MobileFaceNet:
    """Build the network of a graph, in the order of the channels of the file."""
    weights = _initializers(graph, path)
    nodes = [node for node in graph.node if node.op_type not in ("Constant", "Identity")]
    arguments = _arguments(graph, nodes, weights, path)
    check_arguments(MobileFaceNet, arguments, path, "its graph")
    model = build_within(partial(MobileFaceNet, **arguments, normalization="none"), weights, path)
    source = next(item.name for item in graph.input if item.name not in weights)
    _fill(model, _GraphReader(nodes, weights, path), source)
    return model


def _read_graph(path: Path) -> "GraphProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"{path} is not an ONNX file.") from error
    if not graph.node:
        raise ValueError(f"{path} is not an ONNX file.")
    return graph


def _initializers(graph: "GraphProto", path: Path) -> dict[str, Tensor]:
    """Return the weights of a graph by name."""
    from onnx import TensorProto, numpy_helper

    for item in graph.initializer:
        if item.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"{path} keeps its weights in another file: save it as one self-contained ONNX file.")
    try:
        return {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} has a damaged weight ({error}): copy it again.") from error


def _arguments(graph: "GraphProto", nodes: list["NodeProto"], weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """Return the arguments of the MobileFaceNet that the graph would have to be."""
    convs = [node for node in nodes if node.op_type == "Conv"]
    dims = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] if graph.input else []
    if not convs or len(dims) != 4 or dims[2] != dims[3] or dims[2] < 16 or dims[2] % 16:
        raise ValueError(
            f"{path} is not a MobileFaceNet: it has {len(convs)} convolutions and an input of shape {dims}."
        )
    for node in (convs[0], convs[-1]):
        if len(node.input) != 3 or node.input[1] not in weights:
            raise ValueError(f"{path} is not a MobileFaceNet: {_describe(node)} has no stored weight and bias.")
    return {
        "width": weights[convs[0].input[1]].shape[0],
        "blocks": _blocks(nodes, path),
        "embedding_size": weights[convs[-1].input[1]].shape[0],
        "input_size": dims[2],
    }


def _blocks(nodes: list["NodeProto"], path: Path) -> tuple[int, ...]:
    """Return the number of residual blocks at each of the last three sizes."""
    additions = [0]  # residual additions since each convolution of stride 2
    for node in nodes:
        if node.op_type == "Conv" and _attributes(node).get("strides", [1, 1])[0] == 2:
            additions.append(0)
        elif node.op_type == "Add":
            additions[-1] += 1
    if len(additions) != 5:
        raise ValueError(f"{path} is not a MobileFaceNet: it halves its input {len(additions) - 1} times instead of 4.")
    return tuple(additions[2:])


def _fill(model: MobileFaceNet, reader: "_GraphReader", source: str) -> None:
    """Copy the weights of a graph into the model, in the order of the forward pass.

    Args:
        model: Network to fill, in place.
        reader: Nodes of the graph.
        source: Name of the graph's input.
    """
    stages = (model.stage1, model.stage2, model.stage3, model.stage4, model.get_submodule("embed"))
    for layer in (layer for stage in stages for layer in stage.children()):
        if isinstance(layer, InvertedResidual):
            source = reader.read_residual(layer, source)
        elif isinstance(layer, ConvUnit):
            source = reader.read_unit(layer, source)
        else:  # the end of the head, nn.Flatten
            source = reader.next_node(("Reshape", "Flatten"), {source}).output[0]
    reader.expect_end()


class _GraphReader:
    """Reads the nodes of a graph one after the other and checks that each is the one that our network has there.

    Args:
        nodes: Nodes in the order of the graph.
        weights: Weights of the graph by name.
        path: ONNX file, for error messages.
    """

    def __init__(self, nodes: list["NodeProto"], weights: dict[str, Tensor], path: Path) -> None:
        self.remaining = iter(nodes)
        self.weights = weights
        self.path = path

    def read_residual(self, block: InvertedResidual, source: str) -> str:
        """Fill a residual block that reads `source`, and return the name of its output."""
        output = source
        for unit in (block.expand, block.depthwise, block.project):
            output = self.read_unit(unit, output)
        return self.next_node(("Add",), {source, output}).output[0] if block.residual else output

    def read_unit(self, unit: ConvUnit, source: str) -> str:
        """Fill a convolution and its PReLU that read `source`, and return the name of their output."""
        node = self.next_node(("Conv",), {source})
        attributes = {"strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1], **_attributes(node)}
        expected = {
            "strides": list(unit.conv.stride),
            "pads": list(unit.conv.padding) * 2,
            "group": unit.conv.groups,
            "dilations": [1, 1],
        }
        for key, value in expected.items():
            if attributes[key] != value:
                raise self.refusal(f"{key} of {_describe(node)} is {attributes[key]} instead of {value}")
        self.copy(node, 1, unit.conv.weight)
        self.copy(node, 2, unit.conv.get_parameter("bias"))
        if isinstance(unit.activation, nn.PReLU):
            node = self.next_node(("PRelu",), {node.output[0]})
            self.copy(node, 1, unit.activation.weight)
        return node.output[0]

    def next_node(self, operations: tuple[str, ...], sources: set[str]) -> "NodeProto":
        """Return the next node, which must be one of these operations and read these outputs of earlier nodes."""
        node = next(self.remaining, None)
        expected = " or ".join(operations)
        if node is None:
            raise self.refusal(f"the graph ends where {expected} is expected")
        inputs = {name for name in node.input if name not in self.weights}
        if node.op_type not in operations or inputs != sources:
            raise self.refusal(f"{_describe(node)} stands where {expected} of {sorted(sources)} is expected")
        return node

    def copy(self, node: "NodeProto", position: int, parameter: Tensor) -> None:
        """Copy the weight at a position among the inputs of a node, whose shape may differ by sides of length 1."""
        name = node.input[position] if position < len(node.input) else ""
        value = self.weights.get(name)
        if value is None or value.numel() != parameter.numel() or value.squeeze().shape != parameter.squeeze().shape:
            shape = "missing" if value is None else tuple(value.shape)
            raise self.refusal(f"input {position} of {_describe(node)} is {shape} instead of {tuple(parameter.shape)}")
        with torch.no_grad():
            parameter.copy_(value.reshape(parameter.shape))

    def expect_end(self) -> None:
        """Refuse a graph that has more nodes."""
        surplus = next(self.remaining, None)
        if surplus is not None:
            raise self.refusal(f"{_describe(surplus)} follows the embedding")

    def refusal(self, reason: str) -> ValueError:
        """Return the error for a graph that is not our network."""
        return ValueError(f"{self.path} is not the MobileFaceNet that this reader knows: {reason}.")


def _attributes(node: "NodeProto") -> dict[str, Any]:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _describe(node: "NodeProto") -> str:
    return f'{node.op_type} "{node.name or node.output[0]}"'
