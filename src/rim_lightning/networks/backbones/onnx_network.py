"""A recognition network made of the graph of an ONNX file: embeddings with gradient, and nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from rim_lightning.json_files import parse_json
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.schema import Schema, checked

ADVICE = "the file is damaged, was changed, or is of another version of this package"
FACES = 2
MOST_NUMBERS = 2**29
"""Most numbers that a graph computes of two faces: a ResNet-100 at 112 px computes a tenth."""
LONGEST = 16384
"""Longest embedding."""
Attribute = Annotated[int, Field(ge=-(2**31), le=2**31)] | float | list[Annotated[int, Field(ge=-4096, le=4096)]]
Inputs = Sequence[Any]


class Operation(Schema):
    """One node of a graph.

    Attributes:
        name: Key of `OPERATIONS`.
        inputs: Names of what it reads; "" for an input that is left out.
        output: Name of what it makes.
        attributes: Its numbers.
    """

    name: str
    inputs: list[str]
    output: str
    attributes: dict[str, Attribute]


class Program(Schema):
    """A graph without its weights.

    Attributes:
        operations: Nodes in the order of computation. The first reads "x", the faces.
        shapes: Weight -> its sides.
        integers: Stored whole numbers, such as shapes, by name.
        output: Name of the embeddings.
    """

    operations: list[Operation]
    shapes: dict[str, list[Annotated[int, Field(ge=1, le=2**24)]]]
    integers: dict[str, int | list[int]]
    output: str


class OnnxNetwork(Backbone):
    """Embedder of somebody else, computed node by node. It has no stage maps and is not trained.

    Its four "stage maps" are the embedding, one pixel wide, and its head flattens that.

    Args:
        graph: `Program` as JSON.
        input_size: Side of the input in pixels.
        color: Order of the channels that the graph takes.
        mean: The graph takes (pixel - mean) / std, pixels from 0 to 255.
        std: See `mean`.
        input_channels: Channels of the input, 3.

    Raises:
        ValueError: If the program is damaged, has an unknown operation, does not embed faces or needs more memory than
            an embedder, or another argument is out of its range.

    Attributes:
        arguments: All arguments by name.
    """

    has_maps = False

    def __init__(
        self,
        graph: str,
        input_size: int,
        color: Literal["rgb", "bgr"],
        mean: float,
        std: float,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        if input_channels != 3:
            raise ValueError("A network from an ONNX file reads RGB alone: student and assistant need another network.")
        if color not in ("rgb", "bgr") or std <= 0:
            raise ValueError(f'color must be rgb or bgr and std above 0, got "{color}" and {std}.')
        place = "The graph of an ONNX network"
        self.program = checked(Program, parse_json(graph, place, dict, ADVICE), place, ADVICE)
        for operation in self.program.operations:
            if operation.name not in OPERATIONS:
                raise ValueError(f"{place} has the operation {operation.name}, which this version does not know.")
        for name, sides in self.program.shapes.items():
            if not name.isidentifier() or hasattr(self, name):
                raise ValueError(f'{place} has a weight "{name}": {ADVICE}.')
            self.register_parameter(name, nn.Parameter(torch.zeros(sides), requires_grad=False))
        self.arguments = {"graph": graph, "input_size": input_size, "color": color, "mean": mean, "std": std}
        self.color, self.mean, self.std = color, mean, std
        self.input_size = input_size
        last_use = {name: number for number, step in enumerate(self.program.operations) for name in step.inputs}
        self._done: list[list[str]] = [[] for _ in self.program.operations]
        for name, number in last_use.items():
            self._done[number].append(name)
        size = self._measured_size()
        self.embedding_size = size
        self.stage_channels = (size, size, size, size)
        self.stage_sizes = (1, 1, 1, 1)
        self.embed = nn.Sequential(nn.Flatten())

    def stages(self, x: Tensor) -> list[Tensor]:
        """Return the embedding, (B, E, 1, 1), four times."""
        self.check_input(x)
        pixels = x * 127.5 + 127.5
        seen = ((pixels if self.color == "rgb" else pixels.flip(1)) - self.mean) / self.std
        embedding = self._computed(seen, dict(self.named_parameters(recurse=False)))[:, :, None, None]
        return [embedding] * 4

    def _computed(self, x: Tensor, weights: Mapping[str, Tensor], most_numbers: float = math.inf) -> Tensor:
        """Return the embeddings (B, E) of what the graph takes.

        Raises:
            ValueError: If all values together have more than `most_numbers` numbers.
        """
        values: dict[str, Any] = {"x": x, **weights}
        for name, numbers in self.program.integers.items():
            values[name] = torch.tensor(numbers, dtype=torch.int64, device="cpu")
        computed = 0
        for operation, done in zip(self.program.operations, self._done, strict=True):
            inputs = [values[name] if name else None for name in operation.inputs]
            value = OPERATIONS[operation.name](inputs, operation.attributes)
            computed += value.numel()
            if computed > most_numbers:
                raise ValueError("it needs more memory than an embedder")
            values[operation.output] = value
            for name in done:
                if name != self.program.output:
                    values.pop(name, None)
        output: Tensor = values[self.program.output]
        return output.flatten(1)

    def _measured_size(self) -> int:
        """Return the length of the embedding, by embedding two faces without memory."""
        faces = torch.zeros(FACES, 3, self.input_size, self.input_size, device="meta")
        weights = {name: value.to("meta") for name, value in self.named_parameters(recurse=False)}
        try:
            with torch.no_grad():
                embeddings = self._computed(faces, weights, MOST_NUMBERS)
        except Exception as error:  # operations of any kind, on values that do not fit together
            first = str(error).partition("\n")[0]
            raise ValueError(f"the graph cannot embed faces of {self.input_size} px ({first})") from error
        if embeddings.ndim != 2 or len(embeddings) != FACES or not 1 < embeddings.shape[1] <= LONGEST:
            raise ValueError(f"the output of the graph is {tuple(embeddings.shape)} for {FACES} faces, no embedding")
        return embeddings.shape[1]


def _input(inputs: Inputs, position: int) -> Any:
    return inputs[position] if position < len(inputs) else None


def _convolve(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x, padding = _padded(inputs[0], numbers, 0.0)
    strides, dilations = numbers.get("strides", [1, 1]), numbers.get("dilations", [1, 1])
    return F.conv2d(x, inputs[1], _input(inputs, 2), strides, padding, dilations, numbers.get("group", 1))


def _padded(x: Tensor, numbers: Mapping[str, Any], value: float) -> tuple[Tensor, list[int]]:
    """Return a map and the padding it still needs, which is equal on opposite sides."""
    top, left, bottom, right = numbers.get("pads", [0] * 4)
    if (top, left) == (bottom, right):
        return x, [top, left]
    return F.pad(x, (left, right, top, bottom), value=value), [0, 0]


def _max_pool(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x, padding = _padded(inputs[0], numbers, -torch.inf)
    kernel, strides = numbers["kernel_shape"], numbers.get("strides", [1, 1])
    return F.max_pool2d(x, kernel, strides, padding, ceil_mode=bool(numbers.get("ceil_mode", 0)))


def _average_pool(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    top, left, bottom, right = numbers.get("pads", [0] * 4)
    if (top, left) != (bottom, right):
        raise ValueError("AveragePool with unequal pads is not known")
    kernel, strides = numbers["kernel_shape"], numbers.get("strides", [1, 1])
    included = bool(numbers.get("count_include_pad", 0))
    return F.avg_pool2d(inputs[0], kernel, strides, [top, left], bool(numbers.get("ceil_mode", 0)), included)


def _gemm(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    left = inputs[0].T if numbers.get("transA", 0) else inputs[0]
    right = inputs[1].T if numbers.get("transB", 0) else inputs[1]
    product: Tensor = numbers.get("alpha", 1.0) * (left @ right)
    bias = _input(inputs, 2)
    return product if bias is None else product + numbers.get("beta", 1.0) * bias


def _clip(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    low, high = numbers.get("min", _input(inputs, 1)), numbers.get("max", _input(inputs, 2))
    x: Tensor = inputs[0]
    return x if low is None and high is None else torch.clamp(x, low, high)


def _reshape(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x: Tensor = inputs[0]
    sides = [x.shape[place] if side == 0 else side for place, side in enumerate(inputs[1].tolist())]
    if sides[0] == 1:  # of a graph that was made for one face
        sides[0] = x.shape[0]
    return x.reshape(sides)


def _axes(inputs: Inputs, numbers: Mapping[str, Any]) -> list[int]:
    given = _input(inputs, 1)
    axes: list[int] = numbers.get("axes", []) if given is None else given.reshape(-1).tolist()
    return axes


def _reduced(reduce: Callable[..., Tensor]) -> Callable[[Inputs, Mapping[str, Any]], Tensor]:
    def apply(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
        axes = _axes(inputs, numbers) or list(range(inputs[0].ndim))
        return reduce(inputs[0], dim=axes, keepdim=bool(numbers.get("keepdims", 1)))

    return apply


def _unsqueeze(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x: Tensor = inputs[0]
    for axis in sorted(_axes(inputs, numbers)):
        x = x.unsqueeze(axis)
    return x


def _gather(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x: Tensor = inputs[0]
    return x[(*[slice(None)] * numbers.get("axis", 0), inputs[1])]


def _normalized(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x: Tensor = inputs[0]
    return x / torch.linalg.vector_norm(x, numbers.get("p", 2), numbers.get("axis", -1), keepdim=True)


def _batch_norm(inputs: Inputs, numbers: Mapping[str, Any]) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, numbers.get("epsilon", 1e-5))


OPERATIONS: dict[str, Callable[[Inputs, Mapping[str, Any]], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda inputs, numbers: torch.cat(list(inputs), numbers["axis"]),
    "Conv": _convolve,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Flatten": lambda inputs, numbers: inputs[0].flatten(numbers.get("axis", 1)),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "LpNormalization": _normalized,
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": _max_pool,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": lambda inputs, _: torch.where(inputs[0] < 0, inputs[0] * inputs[1], inputs[0]),
    "Pow": lambda inputs, _: inputs[0] ** inputs[1],
    "ReduceL2": _reduced(lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim)),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Reshape": _reshape,
    "Shape": lambda inputs, _: torch.tensor(inputs[0].shape, dtype=torch.int64, device="cpu"),
    "Sigmoid": lambda inputs, _: inputs[0].sigmoid(),
    "Sqrt": lambda inputs, _: inputs[0].sqrt(),
    "Squeeze": lambda inputs, numbers: inputs[0].squeeze(_axes(inputs, numbers)),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Transpose": lambda inputs, numbers: inputs[0].permute(numbers["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""Operation of ONNX -> function of its inputs and attributes."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "AveragePool": ("kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad"),
    "BatchNormalization": ("epsilon", "momentum"),
    "Clip": ("min", "max"),
    "Concat": ("axis",),
    "Conv": ("kernel_shape", "strides", "pads", "dilations", "group"),
    "Flatten": ("axis",),
    "Gather": ("axis",),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "LpNormalization": ("axis", "p"),
    "MaxPool": ("kernel_shape", "strides", "pads", "ceil_mode"),
    **dict.fromkeys(("ReduceL2", "ReduceMean", "ReduceSum"), ("axes", "keepdims")),
    "Squeeze": ("axes",),
    "Transpose": ("perm",),
    "Unsqueeze": ("axes",),
}
"""Operation -> attributes that are computed with; any other must have its default."""
IDLE: dict[str, Any] = {
    "auto_pad": b"NOTSET",
    "spatial": 1,
    "training_mode": 0,
    "storage_order": 0,
    "allowzero": 0,
    "noop_with_empty_axes": 0,
    "dilations": [1, 1],
    "start": 0,
}
"""Other attributes -> value with which they change nothing."""
