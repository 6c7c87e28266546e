"""Networks made of ONNX graphs against onnxruntime, operation by operation and as whole embedders."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.onnx_network import OPERATIONS, OnnxNetwork
from rim_lightning.networks.published.onnx_embedder import load_onnx
from rim_lightning.networks.recognition import ProbeViews, RecognitionNetwork
from rim_lightning.networks.teacher_weights import fill_backbone, load_teacher
from tests.unit.networks.published.test_insightface import PublishedGraph

INPUT = {"color": "bgr", "mean": 120.0, "std": 64.0}
SIDE = 16


def constant(value, dtype=np.float32):
    return np.asarray(value, dtype)


def save_graph(path: Path, nodes, constants, batch: int | str = "batch", side=SIDE, opset=13, outputs=("out",)) -> Path:
    """Save a graph that reads "in". `nodes` are (operation, inputs, output, attributes)."""
    graph = helper.make_graph(
        [helper.make_node(name, inputs, [output], **attributes) for name, inputs, output, attributes in nodes],
        "embedder",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def expected_embeddings(path: Path, pixels: torch.Tensor, each: bool = False) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = ((pixels.flip(1).float() - INPUT["mean"]) / INPUT["std"]).numpy()
    batches = [x[None] for x in inputs] if each else [inputs]
    return torch.cat([torch.from_numpy(session.run(None, {"in": x})[0]).flatten(1) for x in batches])


def check_same(path: Path, **options) -> OnnxNetwork:
    pixels = torch.randint(0, 256, (3, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(3))
    model = load_onnx(path, **INPUT)
    expected = expected_embeddings(path, pixels, **options)
    torch.testing.assert_close(model(pixels / 127.5 - 1), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    return model


RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.standard_normal((6, 3, 3, 3)).astype(np.float32)
CHANNELS = [constant(values) for values in RANDOM.random((4, 3)) + 0.5]
POOLS = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
NORM = ("BatchNormalization", ["in", "a", "b", "c", "d"], "y", {"epsilon": 1e-3})
AXES = {"axes": constant([2, 3], np.int64)}
ONE_OPERATION = {
    "Conv": (("Conv", ["in", "k"], "y", {"strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1]}), {"k": KERNEL}),
    "Conv, unequal pads": (("Conv", ["in", "k"], "y", {"pads": [0, 1, 2, 0]}), {"k": KERNEL}),
    "Conv, groups": (("Conv", ["in", "k"], "y", {"group": 3}), {"k": KERNEL[:3, :1]}),
    "BatchNormalization": (NORM, dict(zip("abcd", CHANNELS, strict=True))),
    "PRelu": (("PRelu", ["in", "s"], "y", {}), {"s": CHANNELS[0].reshape(3, 1, 1)}),
    "Relu": (("Relu", ["in"], "y", {}), {}),
    "Sigmoid": (("Sigmoid", ["in"], "y", {}), {}),
    "Clip": (("Clip", ["in", "low", "high"], "y", {}), {"low": constant(-0.5), "high": constant(0.5)}),
    "Clip, one side": (("Clip", ["in", "", "high"], "y", {}), {"high": constant(0.5)}),
    "Add": (("Add", ["in", "s"], "y", {}), {"s": CHANNELS[0].reshape(3, 1, 1)}),
    "Sub": (("Sub", ["s", "in"], "y", {}), {"s": CHANNELS[0].reshape(3, 1, 1)}),
    "Mul": (("Mul", ["in", "in"], "y", {}), {}),
    "Div": (("Div", ["in", "s"], "y", {}), {"s": CHANNELS[0].reshape(3, 1, 1)}),
    "Pow": (("Pow", ["in", "two"], "y", {}), {"two": constant(2)}),
    "MaxPool": (("MaxPool", ["in"], "y", POOLS), {}),
    "MaxPool, unequal pads": (("MaxPool", ["in"], "y", {**POOLS, "pads": [0, 0, 1, 1]}), {}),
    "AveragePool": (("AveragePool", ["in"], "y", POOLS), {}),
    "AveragePool, padding": (("AveragePool", ["in"], "y", {**POOLS, "count_include_pad": 1}), {}),
    "GlobalAveragePool": (("GlobalAveragePool", ["in"], "y", {}), {}),
    "Transpose": (("Transpose", ["in"], "y", {"perm": [0, 2, 3, 1]}), {}),
    "Concat": (("Concat", ["in", "in"], "y", {"axis": 1}), {}),
    "ReduceMean": (("ReduceMean", ["in"], "y", {"axes": [2, 3]}), {}),
    "ReduceSum": (("ReduceSum", ["in", "axes"], "y", {"keepdims": 0}), AXES),
    "ReduceL2": (("ReduceL2", ["in"], "y", {"axes": [1]}), {}),
    "LpNormalization": (("LpNormalization", ["in"], "y", {"axis": 1, "p": 2}), {}),
    "Reshape": (("Reshape", ["in", "sides"], "y", {}), {"sides": constant([0, -1, 4], np.int64)}),
    "Reshape, of one face": (("Reshape", ["in", "sides"], "y", {}), {"sides": constant([1, -1], np.int64)}),
    "Unsqueeze": (("Unsqueeze", ["in", "axes"], "y", {}), AXES),
    "MatMul": (("MatMul", ["in", "m"], "y", {}), {"m": RANDOM.standard_normal((SIDE, 5)).astype(np.float32)}),
}


@pytest.mark.parametrize("name", ONE_OPERATION)
def test_an_operation_equals_onnxruntime(name, tmp_path):
    node, constants = ONE_OPERATION[name]
    nodes = [node, ("Flatten", ["y"], "out", {"axis": 1})]
    alone = name.endswith("of one face")
    check_same(save_graph(tmp_path / "one.onnx", nodes, constants, batch=1 if alone else "batch"), each=alone)


def test_the_flat_shape_that_exporters_compute_and_the_l2_norm(tmp_path):
    constants = {
        "zero": constant(0, np.int64),
        "axes": constant([0], np.int64),
        "rest": constant([-1], np.int64),
        "m": RANDOM.standard_normal((5, 3 * SIDE * SIDE)).astype(np.float32),
        "bias": RANDOM.standard_normal(5).astype(np.float32),
        "two": constant(2),
    }
    nodes = [
        ("Shape", ["in"], "shape", {}),
        ("Gather", ["shape", "zero"], "count", {"axis": 0}),
        ("Unsqueeze", ["count", "axes"], "counts", {}),
        ("Concat", ["counts", "rest"], "flat", {"axis": 0}),
        ("Reshape", ["in", "flat"], "x", {}),
        ("Dropout", ["x"], "same", {}),
        ("Gemm", ["same", "m", "bias"], "e", {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        ("Pow", ["e", "two"], "squares", {}),
        ("ReduceSum", ["squares", "last"], "sum", {"keepdims": 0}),
        ("Sqrt", ["sum"], "root", {}),
        ("Unsqueeze", ["root", "last"], "roots", {}),
        ("Squeeze", ["roots", "last"], "length", {}),
        ("Unsqueeze", ["length", "last"], "lengths", {}),
        ("Div", ["e", "lengths"], "out", {}),
    ]
    model = check_same(save_graph(tmp_path / "flat.onnx", nodes, {**constants, "last": constant([1], np.int64)}))
    assert model.embedding_size == 5
    x = torch.zeros(1, 3, SIDE, SIDE, requires_grad=True)
    model(x)[0, 0].backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_every_operation_is_tested():
    tested = {node[0] for node, _ in ONE_OPERATION.values()}
    assert set(OPERATIONS) == tested | {"Flatten", "Shape", "Gather", "Gemm", "Sqrt", "Squeeze"}


def test_the_same_graph_by_two_readers(tmp_path):
    path = PublishedGraph().iresnet().save(tmp_path / "r.onnx")
    opaque = load_teacher("onnx", path, color="rgb", mean=127.5, std=127.5, input_size=None)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    native = load_teacher("insightface", path)(x).detach()
    torch.testing.assert_close(opaque(x), native, rtol=1e-4, atol=1e-5 * float(native.abs().max()))


@pytest.fixture
def linear_file(tmp_path) -> Path:
    matrix = RANDOM.standard_normal((3 * SIDE * SIDE, 8)).astype(np.float32) / SIDE
    return save_graph(
        tmp_path / "net.onnx", [("Flatten", ["in"], "x", {}), ("MatMul", ["x", "m"], "out", {})], {"m": matrix}
    )


def test_the_network_is_rebuilt_of_its_arguments_and_weights(linear_file):
    model = load_onnx(linear_file, **INPUT)
    again = build_backbone("onnx", **json.loads(json.dumps(model.arguments)))
    again.load_state_dict(model.state_dict())
    x = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(again(x), model(x))
    other = build_backbone("onnx", **model.arguments)
    fill_backbone(other, "model.recognition.teacher", "onnx", str(linear_file), **INPUT)
    assert torch.equal(other(x), model(x))


@pytest.mark.parametrize("head", ["student", "own"])
def test_student_and_assistant_learn_of_embeddings_alone(head, linear_file):
    model = load_onnx(linear_file, **INPUT)
    teacher = {"name": "onnx", **model.arguments}
    student = {"name": "mobilefacenet", "width": 8, "blocks": (1, 1, 1), "embedding_size": 8, "input_size": SIDE}
    network = RecognitionNetwork(teacher, student, student, head=head)
    network.teacher.backbone.load_state_dict(model.state_dict())
    faces = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    assert torch.equal(network.gallery(faces), model(faces))
    embedding = network.eval().probe(ProbeViews(sr=faces))
    alone = network.student.backbone(faces)
    # The maps of the assistant start at zero. What its own head makes of them is added.
    added = network.assistant.backbone.head(torch.zeros(2, 64, 1, 1)) if head == "own" else 0
    torch.testing.assert_close(embedding, alone + added)
    for wrong in ("teacher", "flatten"):
        with pytest.raises(ValueError, match=rf'gives embeddings alone, so that the head "{wrong}".*student or own'):
            RecognitionNetwork(teacher, student, student, head=wrong)
    with pytest.raises(ValueError, match=r"cannot be networks without stage maps"):
        RecognitionNetwork(teacher, teacher, student, head=head)
    with pytest.raises(ValueError, match=r"The teacher takes 16 px, student or assistant 32 px"):
        RecognitionNetwork(teacher, {**student, "input_size": 32}, student, head=head)


def test_settings_are_asked_for_and_checked(linear_file, tmp_path):
    for name in INPUT:
        with pytest.raises(ValueError, match=rf"does not say what input it takes.*; {name} is missing"):
            load_onnx(linear_file, **{key: value for key, value in INPUT.items() if key != name})
    with pytest.raises(ValueError, match=r"teacher.weights.color is 'gbr'"):
        load_onnx(linear_file, **{**INPUT, "color": "gbr"})
    with pytest.raises(ValueError, match=r"teacher.weights.std is 0"):
        load_onnx(linear_file, **{**INPUT, "std": 0.0})
    with pytest.raises(ValueError, match=r"takes 16 px, teacher.weights.input_size is 32: leave it out"):
        load_onnx(linear_file, **INPUT, input_size=32)
    nodes, constants = [("GlobalAveragePool", ["in"], "out", {})], {}
    free = save_graph(tmp_path / "free.onnx", nodes, constants, side="side")
    with pytest.raises(ValueError, match=r"does not say the size of its input: add input_size"):
        load_onnx(free, **INPUT)
    assert load_onnx(free, **INPUT, input_size=24).input_size == 24


REFUSED = {
    "an unknown operation": (("Softmax", ["in"], "out", {}), {}, "uses the operation Softmax, which a teacher"),
    "an unknown attribute": (("MaxPool", ["in"], "out", {**POOLS, "dilations": [2, 2]}), {}, "has dilations=.2, 2."),
    "automatic padding": (("Conv", ["in", "k"], "out", {"auto_pad": "SAME_UPPER"}), {"k": KERNEL}, "has auto_pad="),
    "a wrong shape": (("MatMul", ["in", "m"], "out", {}), {"m": constant(np.ones((5, 5)))}, "cannot embed faces of 16"),
    "no embedding": (("ReduceMean", ["in"], "out", {"axes": [0]}), {}, "no embedding"),
    "mixed faces": (("Sub", ["in", "mean"], "out", {}), {}, "mixes the faces of a batch"),
    "a missing input": (("Relu", ["nowhere"], "out", {}), {}, '"nowhere" is read before it is computed'),
    "no input": (("Relu", [], "out", {}), {}, "cannot embed faces"),
    "huge memory": (("Conv", ["in", "k"], "out", {"pads": [4096] * 4}), {"k": KERNEL}, "more memory than an embedder"),
    "huge pads": (("Conv", ["in", "k"], "out", {"pads": [2**40] * 4}), {"k": KERNEL}, "teacher.weights|graph"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_graphs_are_refused_in_one_sentence(case, tmp_path):
    node, constants, match = REFUSED[case]
    nodes = [node]
    if case == "mixed faces":
        nodes.insert(0, ("ReduceMean", ["in"], "mean", {"axes": [0]}))
    path = save_graph(tmp_path / "net.onnx", nodes, constants)
    with pytest.raises(ValueError, match=match) as refusal:
        load_onnx(path, **INPUT)
    assert "\n" not in str(refusal.value)


def test_a_graph_that_grows_without_end_is_refused(tmp_path):
    names = ["in", *(f"v{number}" for number in range(40)), "out"]
    nodes = [("Concat", [name] * 2, after, {"axis": 1}) for name, after in pairwise(names)]
    with pytest.raises(ValueError, match="more memory than an embedder"):
        load_onnx(save_graph(tmp_path / "net.onnx", nodes, {}), **INPUT)


def test_weights_elsewhere_are_refused(linear_file):
    model = onnx.load(linear_file)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    linear_file.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="keeps its weights in another file"):
        load_onnx(linear_file, **INPUT)


@pytest.mark.parametrize(
    "graph", ["{}", "[]", '{"operations": [], "shapes": {"forward": [1]}, "integers": {}, "output": "x"}']
)
def test_damaged_programs_are_refused(graph):
    with pytest.raises(ValueError, match="graph of an ONNX network"):
        OnnxNetwork(graph, 16, "rgb", 127.5, 127.5)


def test_directions_do_not_depend_on_the_order_of_reading(linear_file):
    x = torch.rand(1, 3, SIDE, SIDE)
    bgr, rgb = load_onnx(linear_file, **INPUT), load_onnx(linear_file, **{**INPUT, "color": "rgb"})
    assert torch.equal(bgr(x), rgb(x.flip(1)))
    assert F.cosine_similarity(bgr(x), rgb(x)).item() < 0.999  # so that the order is seen
