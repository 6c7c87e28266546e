"""The loader of insightface's ONNX files against onnxruntime, on made-up graphs of the published layouts.

The layouts are those of recognition/arcface_torch/backbones/{iresnet,mobilefacenet}.py as torch2onnx.py writes them:
norms behind convolutions are folded. The input is that of python-package/insightface/model_zoo/arcface_onnx.py.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.networks.published.insightface import load_insightface
from rim_lightning.networks.teacher_weights import fill_backbone, load_teacher
from tests.unit.networks.published.test_mobilefacenet_onnx import GraphWriter

UNITS = (2, 1, 3, 1)


class PublishedGraph(GraphWriter):
    """Writes the graphs of insightface's models, independently of our modules."""

    opset = 11

    def __init__(self, size: int = 32, folded: bool = True, mxnet: bool = False, epsilon: float = 1e-5) -> None:
        super().__init__(size)
        self.folded, self.epsilon, self.mxnet = folded, epsilon, mxnet
        if mxnet:  # graphs of mxnet take pixels
            self.node("Sub", [self.current, self.number(127.5)])
            self.node("Mul", [self.current, self.number(0.0078125)])

    def number(self, value: float) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.float32(value), name))
        return name

    def norm(self, channels: int) -> str:
        parts = [self.weight(channels, scale=0.2, offset=1), self.weight(channels, scale=0.1)]
        parts.append(self.weight(channels, scale=0.1))
        variance = (0.5 + self.random.random(channels)).astype(np.float32)
        self.weights.append(numpy_helper.from_array(variance, f"w{len(self.weights)}"))
        return self.node("BatchNormalization", [self.current, *parts, self.weights[-1].name], epsilon=self.epsilon)

    def conv(self, inputs, outputs, kernel, stride=1, pad=0, group=1, prelu=True) -> str:
        if self.folded:
            return super().conv(inputs, outputs, kernel, stride, pad, group, prelu)
        weight = self.weight(
            outputs, inputs // group, kernel, kernel, scale=(inputs // group * kernel * kernel) ** -0.5
        )
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "group": group}
        self.node("Conv", [self.current, weight], **attributes)
        self.norm(outputs)
        if prelu:
            self.node("PRelu", [self.current, self.weight(outputs, 1, 1, scale=0.1, offset=0.25)])
        return self.current

    def unit(self, inputs: int, outputs: int, stride: int) -> None:
        source = self.current
        self.norm(inputs)
        self.conv(inputs, outputs, 3, 1, 1)
        output = self.conv(outputs, outputs, 3, stride, 1, prelu=False)
        if stride == 2:
            self.current = source
            source = self.conv(inputs, outputs, 1, 2, prelu=False)
        self.node("Add", [output, source])

    def iresnet(self, width: int = 4, units=UNITS, embedding: int = 6, last_norm: bool = True) -> "PublishedGraph":
        self.conv(3, width, 3, 1, 1)
        inputs = width
        for stage, count in enumerate(units):
            for number in range(count):
                self.unit(inputs, width * 2**stage, 1 if number else 2)
                inputs = width * 2**stage
        self.norm(inputs)
        self.node("Dropout" if self.mxnet else "Identity", [self.current])
        self.node("Flatten", [self.current], axis=1)
        self.linear(inputs * (self.size // 16) ** 2, embedding, bias=True)
        if last_norm:
            self.norm(embedding)
        self.embedding = embedding
        return self

    def linear(self, inputs: int, outputs: int, bias: bool) -> None:
        if bias:
            weights = [self.weight(outputs, inputs, scale=inputs**-0.5), self.weight(outputs)]
            self.node("Gemm", [self.current, *weights], alpha=1.0, beta=1.0, transB=1)
        else:  # as the exporter writes a linear map without bias
            self.node("MatMul", [self.current, self.weight(inputs, outputs, scale=inputs**-0.5)])

    def mobilefacenet(self, base: int = 4, blocks=(1, 2, 1), embedding: int = 6) -> "PublishedGraph":
        """get_mbf with 2 `base` channels at first, in groups of two, and the bottlenecks of a network of `base`."""
        c = 2 * base
        self.conv(3, c, 3, 2, 1)
        self.conv(c, c, 3, 1, 1, base)
        rows = ((c, 2 * base, 2 * base, c), (c, 4 * base, 4 * base, 2 * c), (2 * c, 8 * base, 4 * base, 2 * c))
        for (inputs, reducing, expanded, outputs), repeats in zip(rows, blocks, strict=True):
            self.bottleneck(inputs, reducing, outputs, 2)
            for _ in range(repeats):
                self.bottleneck(outputs, expanded, outputs, 1)
        self.conv(2 * c, 8 * base, 1)
        self.conv(8 * base, 8 * base, self.size // 16, group=8 * base, prelu=False)
        self.node("Flatten", [self.current], axis=1)
        self.linear(8 * base, embedding, bias=False)
        self.norm(embedding)
        self.embedding = embedding
        return self


def embeddings(path: Path, pixels: torch.Tensor, mxnet: bool = False) -> torch.Tensor:
    """What insightface would compute of RGB pixels 0..255, one image at a time."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    blobs = pixels.float() if mxnet else (pixels - 127.5) / 127.5
    return torch.cat([torch.from_numpy(session.run(None, {"input": blob[None].numpy()})[0]) for blob in blobs])


def check_same(model, path: Path, mxnet: bool = False) -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    expected, ours = embeddings(path, pixels, mxnet), model(pixels / 127.5 - 1)
    torch.testing.assert_close(F.normalize(ours), F.normalize(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "form", [{}, {"folded": False}, {"mxnet": True}, {"folded": False, "mxnet": True, "epsilon": 2e-5}], ids=str
)
@pytest.mark.parametrize("last_norm", [True, False])
def test_iresnets_equal_onnxruntime(form, last_norm, tmp_path):
    path = PublishedGraph(**form).iresnet(last_norm=last_norm).save(tmp_path / "w600k_r50.onnx")
    model = load_teacher("insightface", path)
    assert isinstance(model, IResNet)
    assert not model.training
    assert (model.stage_channels, model.embedding_size, model.input_size) == ((4, 8, 16, 32), 6, 32)
    check_same(model, path, form.get("mxnet", False))


@pytest.mark.parametrize("form", [{}, {"folded": False}, {"mxnet": True}], ids=str)
def test_mobilefacenets_equal_onnxruntime(form, tmp_path):
    path = PublishedGraph(**form).mobilefacenet().save(tmp_path / "w600k_mbf.onnx")
    model = load_teacher("insightface", path)
    assert isinstance(model, MobileFaceNet)
    assert (model.stage_channels, model.embedding_size) == ((8, 8, 16, 32), 6)
    check_same(model, path, form.get("mxnet", False))


def test_the_configured_networks_take_the_weights(tmp_path):
    path = PublishedGraph().iresnet().save(tmp_path / "r.onnx")
    network = IResNet(4, UNITS, 6, 32, layout="insightface").eval()
    fill_backbone(network, "model.recognition.teacher", "insightface", str(path))
    check_same(network, path)
    path = PublishedGraph().mobilefacenet().save(tmp_path / "m.onnx")
    small = MobileFaceNet(4, (1, 2, 1), 6, 32, "none", channel_scale=2, pixel_mean=127.5, pixel_scale=127.5).eval()
    fill_backbone(small, "model.recognition.teacher", "insightface", str(path))
    check_same(small, path)


@pytest.mark.slow
def test_a_graph_of_torch_s_exporter_is_read(tmp_path):
    network = IResNet(4, (1, 1, 1, 1), 6, 32, layout="arcface_torch").eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point() and value.ndim == 1:
                value.copy_(torch.rand(value.shape) + 0.5)
    path = tmp_path / "r.onnx"
    torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), path, dynamo=True, external_data=False, verbose=False)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(load_insightface(path)(x), network(x), rtol=1e-4, atol=1e-5)


def test_other_graphs_are_refused_in_one_sentence(tmp_path):
    def refused(writer: PublishedGraph, match: str) -> None:
        with pytest.raises(ValueError, match=match) as refusal:
            load_insightface(writer.save(tmp_path / "other.onnx"))
        assert "\n" not in str(refusal.value)

    surplus = PublishedGraph().iresnet()
    surplus.node("Relu", [surplus.current])
    refused(surplus, r'IResNet that this reader knows: Relu "Relu_.*" follows the embedding')

    crossed = PublishedGraph().iresnet()
    next(node for node in crossed.nodes if node.op_type == "Add").input[1] = "input"
    refused(crossed, "Add .* stands where Add of .* is expected")

    shapes = PublishedGraph().iresnet()
    shapes.weights[3].CopyFrom(numpy_helper.from_array(np.zeros(9, np.float32), shapes.weights[3].name))
    refused(shapes, r"input 1 of BatchNormalization .* is \(9,\) instead of \(4,\)")

    padded = PublishedGraph().iresnet()
    next(item for item in padded.nodes[0].attribute if item.name == "pads").ints[:] = [0, 1, 0, 1]
    refused(padded, r"pads of Conv .* is \[0, 1, 0, 1\] instead of \[1, 1, 1, 1\]")

    shifted = PublishedGraph(mxnet=True).iresnet()
    shifted.weights[0].CopyFrom(numpy_helper.from_array(np.float32(100), shifted.weights[0].name))
    refused(shifted, "do not take pixels around 127.5")

    small = PublishedGraph()
    small.conv(3, 4, 3, 2, 1)
    small.embedding = 4
    refused(small, r"other.onnx is not an IResNet: it has residual units \[0\]")

    missing = PublishedGraph().iresnet()
    del missing.weights[5]
    refused(missing, r"is missing instead of|stands where .* is expected")


def test_hostile_files_are_refused(tmp_path):
    path = tmp_path / "model.onnx"

    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match):
            load_insightface(path)

    path.write_bytes(b"no graph at all")
    refused("model.onnx is not an ONNX file")
    for change, match in (
        (lambda item: setattr(item, "data_location", TensorProto.EXTERNAL), "keeps its weights in another file"),
        (lambda item: item.dims.__setitem__(0, 2**40), "has a damaged weight"),
    ):
        model = onnx.load(PublishedGraph().iresnet().save(path))
        change(model.graph.initializer[0])
        path.write_bytes(model.SerializeToString())
        refused(match)
    weights = PublishedGraph()
    name = weights.weight(4, 3, 3, 3)
    for senseless in (
        [helper.make_node("Conv", ["input", name], ["a"], group=0, strides=[2, 2])] * 2,
        [
            helper.make_node("Conv", ["input", name], ["a"], group=2),
            helper.make_node("Conv", ["a", name], ["b"], group=0),
        ],
        [helper.make_node("Identity", [], ["b"])],
        [helper.make_node("Conv", [], ["b"], group=2)],
    ):
        weights.nodes, weights.current, weights.embedding = senseless, "b", 1
        weights.save(path)
        refused(r"model.onnx is (not|no) ")
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*absent.onnx: train a teacher"):
        load_insightface(tmp_path / "absent.onnx")
