"""Weights so small that a CPU calculates with them slowly are set to zero when a network is loaded."""

import torch
from torch import nn

from rim_lightning.inference.model_folder import fingerprint
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.denormals import flush_denormals
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import load_teacher, save_backbone
from tests.helpers.tiny import BACKBONE, MODEL

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def test_denormal_numbers_of_both_signs_become_zero_and_all_others_stay():
    network = nn.Linear(6, 1)
    weights = [SMALLEST_NORMAL / 2, -1e-40, 0.0, SMALLEST_NORMAL, -SMALLEST_NORMAL, 0.5]
    with torch.no_grad():
        network.weight.copy_(torch.tensor([weights]))
    network.register_buffer("count", torch.tensor(3))
    network.register_buffer("mean", torch.tensor([1e-42, 2.0]))

    assert flush_denormals(network) is network

    assert network.weight.tolist() == [[0.0, 0.0, 0.0, SMALLEST_NORMAL, -SMALLEST_NORMAL, 0.5]]
    assert network.mean.tolist() == [0.0, 2.0]
    assert network.count == 3
    assert network.weight.requires_grad


def test_a_teacher_is_read_without_them(tmp_path):
    arguments = {name: value for name, value in BACKBONE.items() if name != "name"}
    teacher = build_backbone("mobilefacenet", **arguments)
    add_denormals(teacher)
    save_backbone(tmp_path / "net.pt", teacher, "mobilefacenet", arguments)
    assert count_denormals(teacher) > 0

    assert count_denormals(load_teacher("rim_lightning", tmp_path / "net.pt")) == 0


def test_a_recognizer_calculates_without_them_and_keeps_the_name_of_its_weights():
    """Galleries of earlier versions hold that name."""
    torch.manual_seed(0)
    rim = RIM(**MODEL).eval()
    add_denormals(rim)
    name = fingerprint(rim)
    faces = torch.rand(2, 3, rim.hr_size, rim.hr_size) * 2 - 1
    with torch.no_grad():
        before = rim.embed_gallery(faces)

    recognizer = Recognizer(rim)

    assert recognizer.fingerprint == recognizer.probe_fingerprint == name
    assert count_denormals(recognizer.rim) == 0
    assert torch.equal(recognizer.rim.embed_gallery(faces), before)


@torch.no_grad()
def add_denormals(network):
    """Make the first weight of every kernel and matrix denormal."""
    for values in network.parameters():
        if values.dim() > 1:
            values.view(-1)[0] = 1e-40


def count_denormals(network):
    return sum(
        ((values != 0) & (values.abs() < SMALLEST_NORMAL)).sum().item()
        for values in network.state_dict().values()
        if values.is_floating_point()
    )
