"""Read a published MobileFaceNet from its ONNX file: weights only, nothing in the file is executed."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rim_lightning.networks.backbones.mobilefacenet import ConvUnit, InvertedResidual, MobileFaceNet

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def load_mobilefacenet_onnx(path: str | Path) -> MobileFaceNet:
    """MobileFaceNet (folded form, eval mode) with the weights of an ONNX file that expects BGR, (pixel - 127) / 128.

    Width, number of blocks, embedding and input size are taken from the graph, whose every node (operation, order,
    connections, strides, padding, groups, weight shapes) must then be that of our network. The stem is turned to RGB.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no ONNX file, or its graph is not this MobileFaceNet; the message names the first node
            that differs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no MobileFaceNet weight file at {path}.")
    graph = _read_graph(path)
    weights = _initializers(graph, path)
    nodes = [node for node in graph.node if node.op_type not in ("Constant", "Identity")]
    model = MobileFaceNet(**_layout(graph, nodes, weights, path), normalization="none")
    _fill(model, nodes, weights, graph, path)
    stem = model.stage1[0].conv
    with torch.no_grad():
        stem.weight.copy_(stem.weight.flip(1).clone())  # BGR -> RGB
    return model.eval()


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
    from onnx import TensorProto, numpy_helper

    for item in graph.initializer:
        if item.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"{path} keeps its weights in another file: save it as one self-contained ONNX file.")
    return {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}


def _layout(graph: "GraphProto", nodes: list["NodeProto"], weights: dict[str, Tensor], path: Path) -> dict:
    """Constructor arguments of the MobileFaceNet this graph would have to be."""
    convs = [node for node in nodes if node.op_type == "Conv"]
    dims = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] if graph.input else []
    if not convs or len(dims) != 4 or dims[2] != dims[3] or dims[2] < 16 or dims[2] % 16:
        raise ValueError(
            f"{path} is not a MobileFaceNet: it has {len(convs)} convolutions and an input of shape {dims}."
        )
    for node in (convs[0], convs[-1]):
        if len(node.input) != 3 or node.input[1] not in weights:
            raise ValueError(f"{path} is not a MobileFaceNet: {_describe(node)} has no stored weight and bias.")
    blocks = [0]  # residual additions since each stride-2 convolution
    for node in nodes:
        if node.op_type == "Conv" and _attributes(node).get("strides", [1, 1])[0] == 2:
            blocks.append(0)
        elif node.op_type == "Add":
            blocks[-1] += 1
    if len(blocks) != 5:
        raise ValueError(f"{path} is not a MobileFaceNet: it halves its input {len(blocks) - 1} times instead of 4.")
    return {
        "width": weights[convs[0].input[1]].shape[0],
        "blocks": tuple(blocks[2:]),
        "embedding_size": weights[convs[-1].input[1]].shape[0],
        "input_size": dims[2],
    }


def _fill(
    model: MobileFaceNet, nodes: list["NodeProto"], weights: dict[str, Tensor], graph: "GraphProto", path: Path
) -> None:
    """Copy the graph's weights into `model`, node by node in the order of the forward pass, checking each."""
    remaining = iter(nodes)

    def refuse(what: str) -> ValueError:
        return ValueError(f"{path} is not the MobileFaceNet this loader knows: {what}.")

    def following(operations: tuple[str, ...], sources: set[str]) -> "NodeProto":
        node = next(remaining, None)
        wanted = " or ".join(operations)
        if node is None:
            raise refuse(f"the graph ends where {wanted} is expected")
        inputs = {name for name in node.input if name not in weights}
        if node.op_type not in operations or inputs != sources:
            raise refuse(f"{_describe(node)} stands where {wanted} of {sorted(sources)} is expected")
        return node

    def copy(node: "NodeProto", position: int, parameter: nn.Parameter) -> None:
        name = node.input[position] if position < len(node.input) else ""
        value = weights.get(name)
        if value is None or value.numel() != parameter.numel() or value.squeeze().shape != parameter.squeeze().shape:
            found = "missing" if value is None else tuple(value.shape)
            raise refuse(f"input {position} of {_describe(node)} is {found} instead of {tuple(parameter.shape)}")
        with torch.no_grad():
            parameter.copy_(value.reshape(parameter.shape))

    def unit(module: ConvUnit, source: str) -> str:
        node = following(("Conv",), {source})
        attributes = {"strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1], **_attributes(node)}
        wanted = {
            "strides": list(module.conv.stride),
            "pads": list(module.conv.padding) * 2,
            "group": module.conv.groups,
            "dilations": [1, 1],
        }
        for key, value in wanted.items():
            if attributes[key] != value:
                raise refuse(f"{key} of {_describe(node)} is {attributes[key]} instead of {value}")
        copy(node, 1, module.conv.weight)
        copy(node, 2, module.conv.bias)
        if isinstance(module.activation, nn.PReLU):
            node = following(("PRelu",), {node.output[0]})
            copy(node, 1, module.activation.weight)
        return node.output[0]

    current = next(item.name for item in graph.input if item.name not in weights)
    for module in (*model.stage1, *model.stage2, *model.stage3, *model.stage4, *model.embed[:2]):
        if isinstance(module, InvertedResidual):
            source = current
            for part in (module.expand, module.depthwise, module.project):
                current = unit(part, current)
            if module.residual:
                current = following(("Add",), {source, current}).output[0]
        else:
            current = unit(module, current)
    current = following(("Reshape", "Flatten"), {current}).output[0]
    surplus = next(remaining, None)
    if surplus is not None:
        raise refuse(f"{_describe(surplus)} follows the embedding")


def _attributes(node: "NodeProto") -> dict:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _describe(node: "NodeProto") -> str:
    return f'{node.op_type} "{node.name or node.output[0]}"'
