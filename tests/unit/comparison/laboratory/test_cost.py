"""Cost of inference: parameters counted by hand, arithmetic that grows with what is used."""

import pytest
import torch

from rim_lightning.comparison.laboratory.cost import measure_cost
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import BACKBONE, MODEL


def count(*networks):
    return sum(weight.numel() for network in networks for weight in network.parameters())


def test_parameters_of_every_part_of_rim():
    torch.manual_seed(0)
    rim = RIM(**MODEL).eval()
    hrn = rim.hrn
    head = count(hrn.teacher.backbone.embed)
    costs = {part: measure_cost(rim, part, 32) for part in ("sr_face", "sr", "student", "probe")}
    assert costs["sr_face"]["parameters"] == count(rim.fhn)
    assert costs["sr"]["parameters"] == count(rim.fhn, hrn.teacher)  # its head is part of the teacher
    assert costs["student"]["parameters"] == count(rim.fhn, hrn.student) + head
    assert costs["probe"]["parameters"] == count(rim.fhn, hrn.student, hrn.assistant) + head
    assert 0 < costs["sr_face"]["gflop"] < costs["student"]["gflop"] < costs["probe"]["gflop"]
    assert all(cost["faces_per_s"] > 0 for cost in costs.values())


def test_arithmetic_of_a_convolution_by_hand():
    network = build_super_resolver("srcnn", widths=(4, 2)).eval()
    cost = measure_cost(network, "sr_face", 16)
    shapes = [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in network.body[::2]]
    assert cost["gflop"] == pytest.approx(sum(2 * 16**2 * i * o * k**2 for i, o, k in shapes) / 1e9)
    assert cost["parameters"] == count(network)


def test_a_recognizer_costs_its_learner_alone():
    network = build_guided_recognizer(BACKBONE, BACKBONE).eval()
    assert measure_cost(network, "probe", 32)["parameters"] == count(network.learner)
