"""Any embedder from an ONNX file as a frozen network. Nothing in the file is executed but known operations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rim_lightning.networks.architecture_check import check_arguments
from rim_lightning.networks.backbones.onnx_network import ATTRIBUTES, IDLE, OPERATIONS, OnnxNetwork
from rim_lightning.networks.published.onnx_graph import (
    DAMAGED_GRAPH,
    GraphReader,
    attributes_of,
    node_title,
    read_graph,
)

if TYPE_CHECKING:
    from onnx import NodeProto

AGREEMENT = 1e-3
"""Largest difference of embeddings of the same face, as a share of the largest number, alone and beside another."""


def load_onnx(
    path: str | Path,
    color: str | None = None,
    mean: float | None = None,
    std: float | None = None,
    input_size: int | None = None,
) -> OnnxNetwork:
    """Load an embedder from an ONNX file, whose first output is the embedding.

    A file says nothing about its input, so the settings do: the graph takes (pixel - mean) / std of pixels from 0 to
    255, in the order `color`. It is built of the operations in `OPERATIONS`, with weights of float32.

    Args:
        path: ONNX file.
        color: "rgb" or "bgr".
        mean: 127.5 for most embedders.
        std: 127.5 or 128 for most embedders.
        input_size: Side of the input in pixels, for a graph that does not say it.

    Returns:
        The network in eval mode, on the CPU. It has an embedding and no stage maps.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If a setting is missing or wrong, or the file is not an ONNX file, has an unknown operation, or does
            not embed faces. The message names the setting or the operation.
    """
    path = Path(path)
    graph = read_graph(path)
    for name, value in (("color", color), ("mean", mean), ("std", std)):
        if value is None:
            raise ValueError(
                f"An ONNX file does not say what input it takes: add color (rgb or bgr), mean and std to "
                f"teacher.weights for {path}; {name} is missing."
            )
    try:
        reader = GraphReader(graph, path, "embedder")
        program, weights = _program(reader, graph.output[0].name)
        arguments: dict[str, Any] = {
            "graph": json.dumps(program),
            "input_size": _input_size(reader, input_size),
            "color": color,
            "mean": mean,
            "std": std,
        }
    except DAMAGED_GRAPH as error:
        raise ValueError(f"{path} is no embedder: its graph is damaged.") from error
    check_arguments(OnnxNetwork, arguments, path, "teacher.weights")
    try:
        model = OnnxNetwork(**arguments)
    except ValueError as error:
        raise ValueError(f"{path} is no embedder of faces: {error}.") from error
    model.load_state_dict(weights)
    with torch.device("cpu"):  # also where a run is rehearsed without memory: the embeddings are looked at
        _check_batches(OnnxNetwork(**arguments), weights, path)
    return model.eval()


def _input_size(reader: GraphReader, given: int | None) -> int:
    dims = reader.input_shape
    if len(dims) != 4 or dims[1] not in (0, 3) or dims[2] != dims[3]:
        raise ValueError(f"{reader.path} takes an input of {dims}; an embedder takes square pictures, (B, 3, S, S).")
    if dims[2] and given not in (None, dims[2]):
        raise ValueError(f"{reader.path} takes {dims[2]} px, teacher.weights.input_size is {given}: leave it out.")
    if not dims[2] and given is None:
        raise ValueError(f"{reader.path} does not say the size of its input: add input_size to teacher.weights.")
    return int(dims[2] or given or 0)


def _program(reader: GraphReader, output: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a graph as `Program`, with names of our own, and its weights by these names."""
    names = {reader.source: "x"}
    weights: dict[str, Tensor] = {}
    integers: dict[str, Any] = {}

    def named(name: str) -> str:
        name = reader.resolved(name)
        if name and name not in names:
            if name not in reader.weights:
                raise reader.refusal(f'"{name}" is read before it is computed')
            value = reader.weights[name]
            if value.is_floating_point():
                names[name] = f"w{len(weights)}"
                weights[names[name]] = value.float()
            else:
                names[name] = f"i{len(integers)}"
                integers[names[name]] = value.tolist()
        return names.get(name, "")

    operations = []
    for number, node in enumerate(reader.nodes):
        attributes = _numbers(reader, node)
        inputs = [named(name) for name in node.input]
        names[node.output[0]] = f"v{number}"
        operations.append({"name": node.op_type, "inputs": inputs, "output": f"v{number}", "attributes": attributes})
    shapes = {name: list(value.shape) for name, value in weights.items()}
    program = {"operations": operations, "shapes": shapes, "integers": integers, "output": named(output)}
    return program, weights


def _numbers(reader: GraphReader, node: "NodeProto") -> dict[str, Any]:
    """Return the attributes of a node that are computed with, if all others change nothing."""
    if node.op_type not in OPERATIONS:
        raise ValueError(
            f"{reader.path} uses the operation {node.op_type}, which a teacher from an ONNX file cannot have; it can "
            f"have {', '.join(OPERATIONS)}."
        )
    numbers = {}
    for name, value in attributes_of(node).items():
        if name in ATTRIBUTES.get(node.op_type, ()):
            numbers[name] = list(value) if isinstance(value, list | tuple) else value
        elif name not in IDLE or IDLE[name] != value:
            raise reader.refusal(f"{node_title(node)} has {name}={value}")
    return numbers


@torch.no_grad()
def _check_batches(network: OnnxNetwork, weights: dict[str, Tensor], path: Path) -> None:
    """Raise ValueError if two faces together have other embeddings than one by one."""
    network.load_state_dict(weights)
    side = network.input_size
    faces = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together, alone = network(faces), torch.cat([network(face[None]) for face in faces])
    if not torch.allclose(together, alone, rtol=0, atol=AGREEMENT * float(alone.abs().max())):
        raise ValueError(f"{path} mixes the faces of a batch: export it with a batch of any size.")
