"""The ONNX loader against onnxruntime: on a made-up graph of the published layout, and on the real file if present."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from rim_lightning.networks.published.mobilefacenet_onnx import load_mobilefacenet_onnx

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"


class GraphWriter:
    """Writes the published MobileFaceNet layout node by node, with random weights, independently of our module."""

    opset = 9

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []
        self.current = "input"

    def weight(self, *shape: int, scale: float = 1.0, offset: float = 0.0) -> str:
        name = f"w{len(self.weights)}"
        value = (offset + scale * self.random.standard_normal(shape)).astype(np.float32)
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operation: str, inputs: list[str], **attributes) -> str:
        self.current = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [self.current], **attributes))
        return self.current

    def conv(self, inputs, outputs, kernel, stride=1, pad=0, group=1, prelu=True) -> str:
        fan = inputs // group * kernel * kernel
        weight = self.weight(outputs, inputs // group, kernel, kernel, scale=(2 / fan) ** 0.5)
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "group": group}
        self.node("Conv", [self.current, weight, self.weight(outputs, scale=0.1)], **attributes)
        if prelu:
            self.node("PRelu", [self.current, self.weight(outputs, 1, 1, scale=0.1, offset=0.25)])
        return self.current

    def bottleneck(self, inputs, expanded, outputs, stride) -> None:
        source = self.current
        self.conv(inputs, expanded, 1)
        self.conv(expanded, expanded, 3, stride, 1, expanded)
        self.conv(expanded, outputs, 1, prelu=False)
        if stride == 1:
            self.node("Add", [source, self.current])

    def body(self, width: int, blocks: tuple[int, int, int], embedding: int) -> "GraphWriter":
        w = width
        self.conv(3, w, 3, 2, 1)
        self.conv(w, w, 3, 1, 1, w)
        rows = ((w, 2 * w, 2 * w, w), (w, 4 * w, 4 * w, 2 * w), (2 * w, 8 * w, 4 * w, 2 * w))
        for (inputs, reducing, expanded, outputs), repeats in zip(rows, blocks, strict=True):
            self.bottleneck(inputs, reducing, outputs, 2)
            for _ in range(repeats):
                self.bottleneck(outputs, expanded, outputs, 1)
        self.conv(2 * w, 8 * w, 1)
        self.conv(8 * w, 8 * w, self.size // 16, group=8 * w, prelu=False)
        self.conv(8 * w, embedding, 1, prelu=False)
        self.node("Flatten", [self.current], axis=1)
        self.embedding = embedding
        return self

    def save(self, path: Path) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "face",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, self.size, self.size])],
            [helper.make_tensor_value_info(self.current, TensorProto.FLOAT, [1, self.embedding])],
            self.weights,
        )
        opset = [helper.make_opsetid("", self.opset)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=7), path)
        return path


def onnx_embeddings(path: Path, rgb: torch.Tensor) -> torch.Tensor:
    """onnxruntime, one image at a time; rgb (B, 3, S, S) with values 0..255."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = (rgb.flip(1).float() - 127) / 128  # BGR, published scaling
    return torch.cat([torch.from_numpy(session.run(None, {"input": x[None].numpy()})[0]) for x in inputs])


@pytest.fixture
def tiny_file(tmp_path) -> Path:
    return GraphWriter(32).body(width=8, blocks=(1, 2, 1), embedding=16).save(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("batch", [1, 5])
def test_equals_onnxruntime_on_a_made_up_graph(tiny_file, batch):
    model = load_mobilefacenet_onnx(tiny_file)
    rgb = torch.randint(0, 256, (batch, 3, 32, 32), generator=torch.Generator().manual_seed(batch))
    expected = onnx_embeddings(tiny_file, rgb)
    assert model.stage_channels == (8, 8, 16, 64)
    assert model.embedding_size == 16
    assert not model.training
    torch.testing.assert_close(model(rgb / 127.5 - 1), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_other_files_are_refused_in_one_sentence(tmp_path, tiny_file):
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*absent.onnx"):
        load_mobilefacenet_onnx(tmp_path / "absent.onnx")
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\xff\x00 these are not the weights you are looking for")
    with pytest.raises(ValueError, match=r"garbage.onnx is not an ONNX file"):
        load_mobilefacenet_onnx(garbage)

    def refused(writer: GraphWriter, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            load_mobilefacenet_onnx(writer.save(tmp_path / "other.onnx"))

    classifier = GraphWriter(32)
    classifier.conv(3, 8, 3, 2, 1)
    classifier.embedding = 8
    refused(classifier, "other.onnx is not a MobileFaceNet: it halves its input 1 times instead of 4")

    surplus = GraphWriter(32).body(8, (1, 2, 1), 16)
    surplus.node("Relu", [surplus.current])
    refused(surplus, 'Relu "Relu_.*" follows the embedding')

    crossed = GraphWriter(32).body(8, (1, 2, 1), 16)
    addition = next(node for node in crossed.nodes if node.op_type == "Add")
    addition.input[0] = "input"
    refused(crossed, "Add .* stands where Add of .* is expected")

    padded = GraphWriter(32).body(8, (1, 2, 1), 16)
    next(item for item in padded.nodes[0].attribute if item.name == "pads").ints[:] = [0, 1, 0, 1]
    refused(padded, r"pads of Conv .* is \[0, 1, 0, 1\] instead of \[1, 1, 1, 1\]")

    wide = GraphWriter(32).body(8, (1, 2, 1), 16)
    wide.weights[3].CopyFrom(numpy_helper.from_array(np.zeros((9, 1, 3, 3), np.float32), wide.weights[3].name))
    refused(wide, r"input 1 of Conv .* is \(9, 1, 3, 3\) instead of \(8, 1, 3, 3\)")


@pytest.mark.skipif(not (DATA / "weights" / "mobilefacenet512.onnx").is_file(), reason="needs the shared data")
def test_equals_onnxruntime_on_the_published_file():
    path = DATA / "weights" / "mobilefacenet512.onnx"
    model = load_mobilefacenet_onnx(path)
    assert model.stage_channels == (64, 64, 128, 512)
    assert model.stage_sizes == (56, 28, 14, 7)
    files = sorted((DATA / "celeba" / "images").glob("*/*.jpg"))[:3]
    faces = [cv2.resize(cv2.imread(str(f))[..., ::-1][16:144, 16:144].copy(), (112, 112)) for f in files]
    faces = torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2)
    noise = torch.randint(0, 256, (2, 3, 112, 112), generator=torch.Generator().manual_seed(0))
    rgb = torch.cat([faces.long(), noise])
    assert len(rgb) == 5
    expected = onnx_embeddings(path, rgb)
    images = (rgb / 127.5 - 1).requires_grad_()
    embeddings = model(images)
    torch.testing.assert_close(embeddings, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(model(images[:1]), expected[:1], atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(embeddings.square().sum(), images)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()
