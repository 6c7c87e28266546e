"""Formats by name and our own backbone file."""

import pytest
import torch

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.checkpoints import build_architecture
from rim_lightning.networks.teacher_weights import fill_backbone, load_backbone, load_teacher, save_backbone

ARGUMENTS = {"width": 4, "blocks": (1, 2, 1), "embedding_size": 8, "input_size": 32}


def test_our_own_file_brings_back_network_and_weights(tmp_path):
    torch.manual_seed(0)
    model = build_backbone("mobilefacenet", **ARGUMENTS)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    model(x)  # moves the running statistics, which must survive
    save_backbone(tmp_path / "net.pt", model, "mobilefacenet", ARGUMENTS)
    loaded = load_teacher("rim_lightning", tmp_path / "net.pt")
    assert not loaded.training
    assert torch.equal(loaded(x), model.eval()(x))


def test_the_same_network_gives_the_same_bytes_whatever_the_file_is_called(tmp_path):
    """A digest of the file names the teacher: neither the name of the file nor the process stands in it."""
    torch.manual_seed(0)
    model = build_backbone("mobilefacenet", **ARGUMENTS)
    for name in ("net.pt", "teacher.pt"):
        save_backbone(tmp_path / name, model, "mobilefacenet", ARGUMENTS)
    assert (tmp_path / "net.pt").read_bytes() == (tmp_path / "teacher.pt").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.pt", "teacher.pt"]


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    torch.manual_seed(0)
    model = build_backbone("mobilefacenet", **ARGUMENTS)
    save_backbone(tmp_path / "net.pt", model, "mobilefacenet", ARGUMENTS)
    before = (tmp_path / "net.pt").read_bytes()
    with pytest.raises(AttributeError, match="local"):  # a function inside a function cannot be pickled
        save_backbone(tmp_path / "net.pt", model, "mobilefacenet", {"width": lambda: 4})
    assert (tmp_path / "net.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt"]


def test_the_learner_of_a_trained_recognizer_is_a_teacher(tmp_path):
    torch.manual_seed(0)
    backbone = {"name": "mobilefacenet"} | ARGUMENTS
    recognizer = build_architecture("recognizer", {"learner": backbone, "guide": backbone})
    weights = {f"recognizer.{name}": value for name, value in recognizer.state_dict().items()}
    content = {"architecture": "recognizer", "model_arguments": {"learner": backbone, "guide": backbone}}
    torch.save(content | {"state_dict": weights}, tmp_path / "last.ckpt")
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    loaded = load_teacher("rim_train", tmp_path / "last.ckpt")
    assert not loaded.training
    assert torch.equal(loaded(x), recognizer.eval().learner(x))
    torch.save({}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="not a checkpoint of rim-train"):
        load_teacher("rim_train", tmp_path / "last.ckpt")


def test_weights_of_another_network_name_the_setting(tmp_path):
    model = build_backbone("mobilefacenet", **ARGUMENTS)
    save_backbone(tmp_path / "net.pt", model, "mobilefacenet", ARGUMENTS)
    same, wider = (build_backbone("mobilefacenet", **(ARGUMENTS | {"width": width})) for width in (4, 8))
    fill_backbone(same, "model.recognition.teacher", "rim_lightning", str(tmp_path / "net.pt"))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in same.state_dict().items())
    with pytest.raises(ValueError, match=r"net.pt belong to a different network .* set model.recognition.teacher to"):
        fill_backbone(wider, "model.recognition.teacher", "rim_lightning", str(tmp_path / "net.pt"))


def test_errors_name_the_file_or_the_format(tmp_path):
    with pytest.raises(ValueError, match='no weight format "caffe"; choose one of mobilefacenet_onnx, insightface'):
        load_teacher("caffe", "net.caffemodel")
    with pytest.raises(FileNotFoundError, match=r"no backbone file at .*net.pt"):
        load_backbone(tmp_path / "net.pt")
    torch.save({"name": "mobilefacenet", "arguments": ARGUMENTS, "state_dict": {}}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net.pt holds 0 numbers of a network that has 4,360"):
        load_backbone(tmp_path / "net.pt")
