"""ONNX graphs read node by node into networks of ours. Nothing in a file is executed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rim_lightning.networks.published.state_dict import missing_weights

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

DAMAGED_GRAPH = (IndexError, KeyError, TypeError, AttributeError, ArithmeticError)
"""Errors of a graph whose nodes lack inputs or attributes, or have senseless ones."""
ALIASES = ("Identity", "Dropout")
"""Operations that hand on their input."""
LINEAR = ("Gemm", "MatMul")
"""Operations that are a linear map."""


def read_graph(path: Path) -> "GraphProto":
    """Read the graph of an ONNX file.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not an ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise missing_weights(path)
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise ValueError(f"{path} is not an ONNX file.") from error
    if not graph.node:
        raise ValueError(f"{path} is not an ONNX file.")
    return graph


def attributes_of(node: "NodeProto") -> dict[str, Any]:
    """Return the attributes of a node by name."""
    from onnx import helper

    try:
        return {item.name: helper.get_attribute_value(item) for item in node.attribute}
    except ValueError as error:  # an attribute of no known type
        raise TypeError(str(error)) from error


def node_title(node: "NodeProto") -> str:
    """Return operation and name of a node, for messages."""
    return f'{node.op_type} "{node.name or node.output[0]}"'


class GraphReader:
    """Reads the nodes of a graph in the order of a network's forward pass, and checks that each is the one needed.

    Args:
        graph: The graph.
        path: ONNX file, for error messages.
        network: Name of our network, for error messages.

    Attributes:
        weights: Stored tensors by name.
        nodes: Nodes that compute, in the order of the graph.
        source: Name of the graph's input.
        input_shape: Its sides; 0 for one that is not fixed.

    Raises:
        ValueError: If a weight is damaged or in another file, or the graph has no input.
    """

    def __init__(self, graph: "GraphProto", path: Path, network: str) -> None:
        self.path = path
        self.network = network
        self.weights = {item.name: self._stored(item) for item in graph.initializer}
        self._aliases: dict[str, str] = {}
        self.nodes = []
        for node in graph.node:
            if node.op_type == "Constant":
                for name, value in attributes_of(node).items():
                    self.weights[node.output[0]] = self._stored(value) if name == "value" else torch.tensor(value)
            elif node.op_type == "Transpose" and (matrix := self.weights.get(node.input[0])) is not None:
                order = attributes_of(node).get("perm", range(matrix.ndim)[::-1])
                self.weights[node.output[0]] = matrix.permute(*order)
            elif node.op_type in ALIASES:
                self._aliases[node.output[0]] = self.resolved(node.input[0])
            else:
                self.nodes.append(node)
        self._remaining = list(self.nodes)
        inputs = [item for item in graph.input if item.name not in self.weights]
        if not inputs:
            raise self.refusal("the graph has no input")
        self.source = inputs[0].name
        self.input_shape = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]

    def _stored(self, item: "TensorProto") -> Tensor:
        from onnx import TensorProto, numpy_helper

        if item.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"{self.path} keeps its weights in another file: save it as one self-contained ONNX file.")
        try:
            return torch.from_numpy(numpy_helper.to_array(item).copy())
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} has a damaged weight ({error}): copy it again.") from error

    def resolved(self, name: str) -> str:
        """Return the name of what an Identity or a Dropout hands on, or the name itself."""
        return self._aliases.get(name, name)

    def weight(self, node: "NodeProto", position: int) -> Tensor | None:
        """Return the stored tensor at a position among the inputs of a node, or None."""
        return self.weights.get(self.resolved(node.input[position])) if position < len(node.input) else None

    def next_node(self, operations: Sequence[str], sources: set[str]) -> "NodeProto":
        """Return the next node that is one of these operations and reads these outputs of earlier nodes.

        Raises:
            ValueError: If there is none.
        """
        node = self.following(operations, sources)
        if node is None:
            expected = " or ".join(operations)
            if not self._remaining:
                raise self.refusal(f"the graph ends where {expected} is expected")
            raise self.refusal(
                f"{node_title(self._remaining[0])} stands where {expected} of {sorted(sources)} is expected"
            )
        return node

    def following(self, operations: Sequence[str], sources: set[str]) -> "NodeProto | None":
        """Return the node of `next_node`, or None if there is none."""
        for number, node in enumerate(self._remaining):
            inputs = {name for name in map(self.resolved, node.input) if name and name not in self.weights}
            if node.op_type in operations and inputs == sources:
                return self._remaining.pop(number)
        return None

    def read_conv(self, conv: nn.Conv2d, source: str) -> str:
        """Fill a convolution with bias that reads `source`, and the norm behind it that a graph may have.

        Returns:
            Name of the output.
        """
        node = self.next_node(("Conv",), {source})
        attributes = {"strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1], **attributes_of(node)}
        expected = {
            "strides": list(conv.stride),
            "pads": [int(side) for side in conv.padding] * 2,
            "group": conv.groups,
            "dilations": [1, 1],
        }
        for key, value in expected.items():
            if attributes[key] != value:
                raise self.refusal(f"{key} of {node_title(node)} is {attributes[key]} instead of {value}")
        if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise self.refusal(f"{node_title(node)} has auto_pad instead of pads")
        bias = conv.get_parameter("bias")
        self.copy(node, 1, conv.weight)
        norm = self.following(("BatchNormalization",), {node.output[0]})
        if norm is None or len(node.input) > 2:
            self.copy(node, 2, bias)
        else:
            with torch.no_grad():
                bias.zero_()
        if norm is None:
            return node.output[0]
        scale, shift = self.affine(norm, bias)
        with torch.no_grad():
            conv.weight.mul_(scale.reshape(-1, 1, 1, 1))
            bias.mul_(scale).add_(shift)
        return norm.output[0]

    def read_prelu(self, activation: nn.PReLU, source: str) -> str:
        """Fill a PReLU that reads `source`, and return the name of its output."""
        node = self.next_node(("PRelu",), {source})
        self.copy(node, 1, activation.weight)
        return node.output[0]

    def read_norm(self, norm: nn.BatchNorm2d, source: str) -> str:
        """Fill a norm that reads `source`, and return the name of its output."""
        node = self.next_node(("BatchNormalization",), {source})
        parts = (norm.weight, norm.bias, norm.get_buffer("running_mean"), norm.get_buffer("running_var"))
        for position, target in enumerate(parts, 1):
            self.copy(node, position, target)
        with torch.no_grad():  # our norms have an epsilon of their own
            parts[3].add_(self._epsilon(node) - norm.eps)
        return node.output[0]

    def affine(self, node: "NodeProto", like: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, (C,), of a norm as one product and one sum; `like` is a tensor of that shape."""
        weight, bias, mean, variance = (torch.empty_like(like, requires_grad=False) for _ in range(4))
        for position, target in enumerate((weight, bias, mean, variance), 1):
            self.copy(node, position, target)
        scale = (weight.double() / (variance.double() + self._epsilon(node)).sqrt()).to(weight.dtype)
        return scale, bias - mean * scale

    def _epsilon(self, node: "NodeProto") -> float:
        return float(attributes_of(node).get("epsilon", 1e-5))

    def read_linear(self, weight: Tensor, source: str) -> tuple[str, Tensor]:
        """Fill the matrix (E, F) of a linear map that reads `source`.

        Returns:
            Name of the output, and the bias (E,), which is zero if the graph has none.
        """
        node = self.next_node(LINEAR, {source})
        attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, **attributes_of(node)}
        if attributes["alpha"] != 1 or attributes["beta"] != 1 or attributes["transA"]:
            raise self.refusal(f"{node_title(node)} is not a plain linear map")
        stored = self.linear_matrix(node)
        if stored is None or stored.shape != weight.shape:
            shape = "missing" if stored is None else tuple(stored.shape)
            raise self.refusal(f"the matrix of {node_title(node)} is {shape} instead of {tuple(weight.shape)}")
        bias = torch.zeros(weight.shape[0])
        if len(node.input) > 2:
            self.copy(node, 2, bias)
        with torch.no_grad():
            weight.copy_(stored)
        return node.output[0], bias

    def linear_matrix(self, node: "NodeProto") -> Tensor | None:
        """Return the matrix (E, F) of a linear map, or None if the node has no stored one."""
        stored = self.weight(node, 1) if node.op_type in LINEAR else None
        if stored is None or stored.ndim != 2:
            return None
        return stored if attributes_of(node).get("transB", 0) else stored.T

    def copy(self, node: "NodeProto", position: int, target: Tensor) -> None:
        """Copy the weight at a position among the inputs of a node, whose shape may differ by sides of length 1."""
        value = self.weight(node, position)
        if value is None or value.numel() != target.numel() or value.squeeze().shape != target.squeeze().shape:
            shape = "missing" if value is None else tuple(value.shape)
            raise self.refusal(f"input {position} of {node_title(node)} is {shape} instead of {tuple(target.shape)}")
        with torch.no_grad():
            target.copy_(value.reshape(target.shape))

    def ends(self) -> bool:
        """Return True if no node remains."""
        return not self._remaining

    def expect_end(self) -> None:
        """Refuse a graph that has more nodes."""
        if self._remaining:
            raise self.refusal(f"{node_title(self._remaining[0])} follows the embedding")

    def refusal(self, reason: str) -> ValueError:
        """Return the error for a graph that is not our network."""
        return ValueError(f"{self.path} is not the {self.network} that this reader knows: {reason}.")
