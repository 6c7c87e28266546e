"""The IResNet loaders against key lists written by hand from the public definitions.

arcface_torch: deepinsight/insightface, recognition/arcface_torch/backbones/iresnet.py.
face.evoLVe: ZhaoJ9014/face.evoLVe, backbone/model_irse.py.
"""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.published.iresnet import (
    arcface_torch_names,
    face_evolve_names,
    load_arcface_torch,
    load_face_evolve,
)

IR50 = (3, 4, 14, 3)


def norm_shapes(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def arcface_torch_shapes(width, units, embedding, size):
    shapes = {"conv1.weight": (width, 3, 3, 3), **norm_shapes("bn1", width), "prelu.weight": (width,)}
    inputs = width
    for stage, count in enumerate(units):
        outputs = width * 2**stage
        for i in range(count):
            key = f"layer{stage + 1}.{i}"
            shapes |= norm_shapes(f"{key}.bn1", inputs)
            shapes[f"{key}.conv1.weight"] = (outputs, inputs, 3, 3)
            shapes |= norm_shapes(f"{key}.bn2", outputs)
            shapes[f"{key}.prelu.weight"] = (outputs,)
            shapes[f"{key}.conv2.weight"] = (outputs, outputs, 3, 3)
            shapes |= norm_shapes(f"{key}.bn3", outputs)
            if i == 0:  # every first block has stride 2
                shapes[f"{key}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= norm_shapes(f"{key}.downsample.1", outputs)
            inputs = outputs
    shapes |= norm_shapes("bn2", inputs)
    shapes |= {"fc.weight": (embedding, inputs * (size // 16) ** 2), "fc.bias": (embedding,)}
    return shapes | norm_shapes("features", embedding)


def face_evolve_shapes(width, units, embedding, size):
    shapes = {
        "input_layer.0.weight": (width, 3, 3, 3),
        **norm_shapes("input_layer.1", width),
        "input_layer.2.weight": (width,),
    }
    inputs, position = width, 0
    for stage, count in enumerate(units):
        outputs = width * 2**stage
        for _ in range(count):
            key = f"body.{position}"
            if inputs != outputs:  # else MaxPool2d(1, stride), which has no tensors
                shapes[f"{key}.shortcut_layer.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= norm_shapes(f"{key}.shortcut_layer.1", outputs)
            shapes |= norm_shapes(f"{key}.res_layer.0", inputs)
            shapes[f"{key}.res_layer.1.weight"] = (outputs, inputs, 3, 3)
            shapes[f"{key}.res_layer.2.weight"] = (outputs,)
            shapes[f"{key}.res_layer.3.weight"] = (outputs, outputs, 3, 3)
            shapes |= norm_shapes(f"{key}.res_layer.4", outputs)
            inputs, position = outputs, position + 1
    shapes |= norm_shapes("output_layer.0", inputs)
    shapes |= {"output_layer.3.weight": (embedding, inputs * (size // 16) ** 2), "output_layer.3.bias": (embedding,)}
    return shapes | norm_shapes("output_layer.4", embedding)


FAMILIES = {
    "arcface_torch": (arcface_torch_shapes, arcface_torch_names, load_arcface_torch, "fc.bias", "bn1.weight"),
    "face_evolve": (
        face_evolve_shapes,
        face_evolve_names,
        load_face_evolve,
        "output_layer.3.bias",
        "body.1.res_layer.1.weight",
    ),
}


def random_state(shapes):
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(shape, generator=generator) + 0.5
        if "var" in name
        else torch.randn(shape, generator=generator) * 0.3
        for name, shape in shapes.items()
    }
    counters = {f"{k.removesuffix('running_var')}num_batches_tracked" for k in shapes if k.endswith("running_var")}
    return state | {name: torch.tensor(7) for name in counters}


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_shapes_at_full_size(family):
    written, names, _, bias, _ = FAMILIES[family]
    expected = written(64, IR50, 512, 112)
    del expected[bias]  # folded into the running mean of the last norm
    ours, theirs = IResNet(layout=family).state_dict(), names(IR50)
    assert {theirs[k]: tuple(v.shape) for k, v in ours.items() if not k.endswith("tracked")} == expected


def recompute(state, family, units, x):
    """The public forward pass in eval mode, straight from the checkpoint's names."""

    def norm(name, y):
        parts = [state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *parts, False, 0.0, 1e-5)

    def prelu(name, y):
        return F.prelu(y, state[f"{name}.weight"])

    def conv(name, y, stride=1, padding=1):
        return F.conv2d(y, state[f"{name}.weight"], stride=stride, padding=padding)

    if family == "arcface_torch":
        x = prelu("prelu", norm("bn1", conv("conv1", x)))
    else:
        x = prelu("input_layer.2", norm("input_layer.1", conv("input_layer.0", x)))
    position = 0
    for stage, count in enumerate(units):
        for i in range(count):
            stride = 2 if i == 0 else 1
            if family == "arcface_torch":
                key = f"layer{stage + 1}.{i}"
                y = prelu(f"{key}.prelu", norm(f"{key}.bn2", conv(f"{key}.conv1", norm(f"{key}.bn1", x))))
                y = norm(f"{key}.bn3", conv(f"{key}.conv2", y, stride))
                shrunk = [f"{key}.downsample.0", f"{key}.downsample.1"]
            else:
                key = f"body.{position}.res_layer"
                y = prelu(f"{key}.2", conv(f"{key}.1", norm(f"{key}.0", x)))
                y = norm(f"{key}.4", conv(f"{key}.3", y, stride))
                shrunk = [f"body.{position}.shortcut_layer.0", f"body.{position}.shortcut_layer.1"]
            if f"{shrunk[0]}.weight" in state:
                x = norm(shrunk[1], conv(shrunk[0], x, stride, 0))
            else:
                x = x[..., ::stride, ::stride]
            x = x + y
            position += 1
    before, linear, after = (
        ("bn2", "fc", "features")
        if family == "arcface_torch"
        else ("output_layer.0", "output_layer.3", "output_layer.4")
    )
    x = norm(before, x).flatten(1)
    return norm(after, F.linear(x, state[f"{linear}.weight"], state[f"{linear}.bias"]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_loaded_network_computes_what_the_public_code_would(family, prefix, tmp_path):
    written, _, load, _, _ = FAMILIES[family]
    units = (2, 1, 3, 1)
    state = random_state(written(4, units, 6, 32))
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "net.pth")
    model = load(tmp_path / "net.pth")
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    expected = recompute(state, family, units, x)
    assert not model.training
    assert model.embedding_size == 6
    assert model.input_size == 32
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_checkpoints_are_refused_by_name(family, tmp_path):
    written, _, load, bias, victim = FAMILIES[family]
    state = random_state(written(4, (2, 1, 1, 1), 6, 16))
    path = tmp_path / "net.pth"

    def refused(content, match):
        torch.save(content, path)
        with pytest.raises(ValueError, match=match):
            load(path)

    refused({k: v for k, v in state.items() if k != victim}, f"net.pth lacks {victim}")
    refused({k: v for k, v in state.items() if k != bias}, f"net.pth lacks {bias}")
    refused({**state, "extra.weight": torch.zeros(1)}, "net.pth holds extra.weight, which this IResNet")
    refused({**state, victim: torch.zeros(5)}, rf"{victim} in .*net.pth is of shape \(5,\)")
    refused({**state, bias.replace("bias", "weight"): torch.zeros(6)}, f"net.pth does not hold an IResNet .* {family}")
    refused({"some": torch.zeros(1)}, f"net.pth does not hold an IResNet named as in {family}")
    refused({"state_dict": state, "epoch": 3}, "net.pth does not hold a state dict")
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"net.pth is not a PyTorch weight file"):
        load(path)
    with pytest.raises(FileNotFoundError, match=r"no weight file at .*absent.pth"):
        load(tmp_path / "absent.pth")
