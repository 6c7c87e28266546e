"""Weights so small that a CPU calculates with them slowly are set to zero when a network is loaded."""

import torch
from torch import nn

from rim_lightning.inference.model_folder import fingerprint
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import load_teacher, save_backbone
from rim_lightning.networks.tiny_weights import TINY, flush_tiny_weights
from tests.helpers.tiny import BACKBONE, MODEL


def test_tiny_weights_of_both_signs_become_zero_and_all_others_stay():
    """The square of what stays is a normal number, so no product of two weights is denormal."""
    network = nn.Linear(6, 1)
    weights = [1e-19, -1e-40, 0.0, 1.1e-19, -1.1e-19, 0.5]
    with torch.no_grad():
        network.weight.copy_(torch.tensor([weights]))
    network.register_buffer("count", torch.tensor(3))
    network.register_buffer("mean", torch.tensor([1e-42, 2.0]))

    assert flush_tiny_weights(network) is network

    assert torch.equal(network.weight, torch.tensor([[0.0, 0.0, 0.0, 1.1e-19, -1.1e-19, 0.5]]))
    kept = network.weight[network.weight != 0]
    assert (kept**2 >= torch.finfo(torch.float32).tiny).all()
    assert network.mean.tolist() == [0.0, 2.0]
    assert network.count == 3
    assert network.weight.requires_grad


def test_a_teacher_is_read_without_them(tmp_path):
    arguments = {name: value for name, value in BACKBONE.items() if name != "name"}
    teacher = build_backbone("mobilefacenet", **arguments)
    add_tiny_weights(teacher)
    save_backbone(tmp_path / "net.pt", teacher, "mobilefacenet", arguments)
    assert count_tiny_weights(teacher) > 0

    assert count_tiny_weights(load_teacher("rim_lightning", tmp_path / "net.pt")) == 0


def test_a_recognizer_calculates_without_them_and_keeps_the_name_of_its_weights():
    """Galleries of earlier versions hold that name."""
    torch.manual_seed(0)
    rim = RIM(**MODEL).eval()
    add_tiny_weights(rim)
    name = fingerprint(rim)
    faces = torch.rand(2, 3, rim.hr_size, rim.hr_size) * 2 - 1
    with torch.no_grad():
        before = rim.embed_gallery(faces)

    recognizer = Recognizer(rim)

    assert recognizer.fingerprint == recognizer.probe_fingerprint == name
    assert count_tiny_weights(recognizer.rim) == 0
    assert torch.equal(recognizer.rim.embed_gallery(faces), before)


@torch.no_grad()
def add_tiny_weights(network):
    """Make one weight of every kernel and matrix too small to be a normal number, and one almost so."""
    for values in network.parameters():
        if values.dim() > 1:
            values.view(-1)[0] = 1e-40
            values.view(-1)[-1] = -1e-30


def count_tiny_weights(network):
    return sum(
        ((values != 0) & (values.abs() < TINY)).sum().item()
        for values in network.state_dict().values()
        if values.is_floating_point()
    )


def test_numbers_in_half_precision_are_never_that_small():
    network = nn.Linear(1, 1).half()
    with torch.no_grad():
        network.weight.fill_(6e-8)  # the smallest number in half precision

    flush_tiny_weights(network)

    assert network.weight.item() > 0
