"""Formats by name and our own backbone file."""

import pytest
import torch

from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.teacher_weights import load_backbone, load_teacher, save_backbone

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


def test_errors_name_the_file_or_the_format(tmp_path):
    with pytest.raises(ValueError, match='no weight format "caffe"; choose one of mobilefacenet_onnx, arcface_torch'):
        load_teacher("caffe", "net.caffemodel")
    with pytest.raises(FileNotFoundError, match=r"no backbone file at .*net.pt"):
        load_backbone(tmp_path / "net.pt")
    torch.save({"name": "mobilefacenet", "arguments": ARGUMENTS, "state_dict": {}}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net.pt is not a backbone file of this version"):
        load_backbone(tmp_path / "net.pt")
