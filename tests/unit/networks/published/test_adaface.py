"""The loaders of AdaFace and CVLface against the public forward pass, written anew from the public names.

AdaFace: mk-minchul/AdaFace, net.py. CVLface: mk-minchul/CVLface, research/recognition/code/run_v1/models/iresnet.
"""

import sys
import types
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from rim_lightning.networks.backbones.iresnet import IResNet
from rim_lightning.networks.published.adaface import load_adaface, load_cvlface
from rim_lightning.networks.published.iresnet import face_evolve_names
from rim_lightning.networks.teacher_weights import load_teacher
from tests.unit.networks.published.test_iresnet import (
    IR50,
    arcface_torch_shapes,
    norm_shapes,
    random_state,
    recompute,
)

UNITS = (2, 1, 3, 1)


def adaface_shapes(width, units, embedding, size):
    """Key list of `Backbone` with `BasicBlockIR`: the norm 2 in the middle, MaxPool where the channels stay."""
    shapes = {"input_layer.0.weight": (width, 3, 3, 3), **norm_shapes("input_layer.1", width)}
    shapes["input_layer.2.weight"] = (width,)
    inputs, position = width, 0
    for stage, count in enumerate(units):
        outputs = width * 2**stage
        for _ in range(count):
            key = f"body.{position}"
            if inputs != outputs:
                shapes[f"{key}.shortcut_layer.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= norm_shapes(f"{key}.shortcut_layer.1", outputs)
            shapes |= norm_shapes(f"{key}.res_layer.0", inputs)
            shapes[f"{key}.res_layer.1.weight"] = (outputs, inputs, 3, 3)
            shapes |= norm_shapes(f"{key}.res_layer.2", outputs)
            shapes[f"{key}.res_layer.3.weight"] = (outputs,)
            shapes[f"{key}.res_layer.4.weight"] = (outputs, outputs, 3, 3)
            shapes |= norm_shapes(f"{key}.res_layer.5", outputs)
            inputs, position = outputs, position + 1
    shapes |= norm_shapes("output_layer.0", inputs)
    shapes |= {"output_layer.3.weight": (embedding, inputs * (size // 16) ** 2), "output_layer.3.bias": (embedding,)}
    return shapes | {f"output_layer.4.running_{part}": (embedding,) for part in ("mean", "var")}


def published_embedding(state, units, bgr):
    """The public forward pass in eval mode; bgr (B, 3, S, S), (x / 255 - .5) / .5. Not divided by its length."""

    def norm(name, x):
        parts = [state.get(f"{name}.{part}") for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, training=False, eps=1e-5)

    def conv(name, x, stride, padding):
        return F.conv2d(x, state[f"{name}.weight"], None, stride, padding)

    x = F.prelu(norm("input_layer.1", conv("input_layer.0", bgr, 1, 1)), state["input_layer.2.weight"])
    firsts = {sum(units[:stage]) for stage in range(len(units))}
    for position in range(sum(units)):
        stride = 2 if position in firsts else 1
        key = f"body.{position}.res_layer"
        y = norm(f"{key}.2", conv(f"{key}.1", norm(f"{key}.0", x), 1, 1))
        y = norm(f"{key}.5", conv(f"{key}.4", F.prelu(y, state[f"{key}.3.weight"]), stride, 1))
        shortcut = f"body.{position}.shortcut_layer"
        if f"{shortcut}.0.weight" in state:
            x = y + norm(f"{shortcut}.1", conv(f"{shortcut}.0", x, stride, 0))
        else:
            x = y + F.max_pool2d(x, 1, stride)
    x = norm("output_layer.0", x).flatten(1)
    return norm("output_layer.4", F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"]))


def rgb_pixels(count=3, side=32):
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(count))


def assert_same_directions(embeddings, expected):
    """Unit vectors to 1e-5, as the public code returns them."""
    torch.testing.assert_close(F.normalize(embeddings), F.normalize(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def lightning_checkpoint(state):
    """What Lightning saves of AdaFace's training module, with the state of optimizer, schedule and callback."""
    callback = types.new_class("ModelCheckpoint")
    callback.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
    callback.__qualname__ = "ModelCheckpoint"
    return callback, {
        "epoch": 25,
        "pytorch-lightning_version": "1.4.4",
        "state_dict": {**{f"model.{name}": value for name, value in state.items()}, "head.kernel": torch.zeros(6, 9)},
        "callbacks": {callback: {"monitor": "val_acc", "best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [{"milestones": Counter({12: 1, 20: 1, 24: 1}), "gamma": 0.1}],
        "hyper_parameters": {"arch": "ir_50", "lr_milestones": [12, 20, 24]},
    }


def save_as_lightning_1_4(state, path, monkeypatch):
    callback, content = lightning_checkpoint(state)
    module = types.ModuleType(callback.__module__)
    module.ModelCheckpoint = callback
    with monkeypatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", callback.__module__):
            patch.setitem(sys.modules, name, module)
        torch.save(content, path)


def test_names_and_shapes_at_full_size():
    expected = adaface_shapes(64, IR50, 512, 112)
    del expected["output_layer.3.bias"]  # folded into the running mean of the last norm
    ours, theirs = IResNet(layout="adaface").state_dict(), face_evolve_names(IR50, "adaface")
    assert {theirs[k]: tuple(v.shape) for k, v in ours.items() if not k.endswith("tracked")} == expected


@pytest.mark.parametrize("form", ["lightning", "model.", ""])
def test_adaface_computes_what_the_public_code_would_of_bgr(form, tmp_path, monkeypatch):
    state, path = random_state(adaface_shapes(4, UNITS, 6, 32)), tmp_path / "net.ckpt"
    if form == "lightning":
        save_as_lightning_1_4(state, path, monkeypatch)
    else:
        torch.save({form + name: value for name, value in state.items()}, path)
    model = load_teacher("adaface", path)
    pixels = rgb_pixels()
    expected = published_embedding(state, UNITS, (pixels.flip(1) / 255 - 0.5) / 0.5)
    assert not model.training
    assert (model.embedding_size, model.input_size) == (6, 32)
    assert_same_directions(model(pixels / 127.5 - 1), expected)


@pytest.mark.parametrize(("name", "prefix"), [("model.pt", "net."), ("model.safetensors", "model.net.")])
@pytest.mark.parametrize("said", ["model.yaml", "pretrained_model/model.yaml", "setting"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_cvlface_follows_the_stated_order_of_channels(name, prefix, said, order, tmp_path):
    state, path = random_state(adaface_shapes(4, UNITS, 6, 32)), tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)({prefix + k: v for k, v in state.items()}, path)
    settings = {}
    if said == "setting":
        settings["color"] = order.lower()
    else:
        (tmp_path / said).parent.mkdir(exist_ok=True)
        (tmp_path / said).write_text(f"input_size:\n- 3\n- 112\n- 112\ncolor_space: {order}\nname: ir50\n")
    pixels = rgb_pixels()
    seen = pixels if order == "RGB" else pixels.flip(1)
    expected = published_embedding(state, UNITS, (seen / 255 - 0.5) / 0.5)
    assert_same_directions(load_teacher("cvlface", path, **settings)(pixels / 127.5 - 1), expected)


def test_cvlface_reads_its_insightface_models(tmp_path):
    state = random_state(arcface_torch_shapes(4, UNITS, 6, 32))
    torch.save({f"net.{name}": value for name, value in state.items()}, tmp_path / "model.pt")
    (tmp_path / "model.yaml").write_text("color_space: 'RGB'\n")
    x = rgb_pixels() / 127.5 - 1
    assert_same_directions(load_cvlface(tmp_path / "model.pt")(x), recompute(state, "arcface_torch", UNITS, x))


def test_an_unknown_or_contradictory_order_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(random_state(adaface_shapes(4, UNITS, 6, 32)), path)
    with pytest.raises(ValueError, match=r"no model.yaml beside .*model.pt .* add color: rgb or color: bgr"):
        load_cvlface(path)
    with pytest.raises(ValueError, match=r'teacher.weights.color is "gbr": give rgb or bgr'):
        load_cvlface(path, color="gbr")
    (tmp_path / "model.yaml").write_text("color_space: 'BGR'\n")
    with pytest.raises(ValueError, match=r"color=rgb contradicts .*model.yaml, which says BGR"):
        load_cvlface(path, color="rgb")
    (tmp_path / "model.yaml").write_text("color_space: gray\n")
    with pytest.raises(ValueError, match=r"model.yaml has no color_space of RGB or BGR"):
        load_cvlface(path)
    with pytest.raises(ValueError, match=r"format adaface need no color: leave it out"):
        load_teacher("adaface", path, color="rgb")


def test_transformers_of_cvlface_are_refused(tmp_path):
    state = {"net.patch_embed.proj.weight": torch.zeros(4, 3, 8, 8), "net.blocks.0.attn.qkv.weight": torch.zeros(4, 4)}
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model.pt holds a transformer .* take an IResNet of CVLface"):
        load_cvlface(tmp_path / "model.pt", color="rgb")


def test_wrong_files_are_refused_by_name(tmp_path):
    state, path = random_state(adaface_shapes(4, (2, 1, 1, 1), 6, 16)), tmp_path / "net.ckpt"
    victim = "body.1.res_layer.2.weight"

    def refused(content, match):
        torch.save(content, path)
        with pytest.raises(ValueError, match=match) as refusal:
            load_adaface(path)
        assert "\n" not in str(refusal.value)

    refused({k: v for k, v in state.items() if k != victim}, f"net.ckpt lacks {victim}")
    refused({k: v for k, v in state.items() if k != "output_layer.3.bias"}, "net.ckpt lacks output_layer.3.bias")
    refused({**state, "output_layer.4.weight": torch.ones(6)}, "net.ckpt holds output_layer.4.weight, which this")
    refused({**state, "body.0.res_layer.se_block.fc1.weight": torch.ones(1, 4, 1, 1)}, r"holds body.0.*se_block")
    refused({**state, victim: torch.zeros(5)}, rf"{victim} in .*net.ckpt is of shape \(5,\)")
    refused({**state, "input_layer.0.weight": torch.zeros(())}, "net.ckpt does not hold an IResNet .* adaface")
    refused({"state_dict": {}}, "net.ckpt does not hold a state dict")
    wide = torch.zeros(1).expand(10**6, 3, 3, 3)  # claims what it does not hold
    refused({**state, "input_layer.0.weight": wide}, r"not a PyTorch weight file .*has 1 numbers")
    deep = {f"body.{n}.res_layer.4.weight": torch.zeros(32, 1) for n in range(10_000)}
    refused({**state, **deep}, "net.ckpt does not hold an IResNet")


def test_files_that_would_run_code_are_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("executed",)

    state = random_state(adaface_shapes(4, UNITS, 6, 32))
    torch.save({"state_dict": state, "callbacks": Hostile()}, tmp_path / "net.ckpt")
    with pytest.raises(ValueError, match=r"weights_only=True \(it names __builtin__.print, which is no tensor\)"):
        load_adaface(tmp_path / "net.ckpt")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match=r"model.safetensors is not a file of safetensors"):
        load_cvlface(tmp_path / "model.safetensors", color="rgb")


@pytest.mark.parametrize("name", ["absent.pt", "absent.safetensors"])
def test_a_missing_file_names_the_ways_to_a_teacher(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no weight file at .*{name}: train a teacher .* teacher=trained"):
        load_cvlface(tmp_path / name, color="rgb")
