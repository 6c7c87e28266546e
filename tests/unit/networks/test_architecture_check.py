"""A network from a file is refused before it is built, if an argument is out of its range or the file is too small."""

import json
import re

import pytest
import torch

from rim_lightning.inference.card import read_card
from rim_lightning.inference.default_model import SHIPPED
from rim_lightning.networks.architecture_check import check_architecture, check_finite, check_rim_size, check_size
from rim_lightning.networks.backbones.build import BACKBONES
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL

CHANGES = {
    "hr_size": (10**6, "hr_size is 1e+06; it must be from 8 to 1024"),
    "hallucination.coarse.blocks": ([10**7], "hallucination.coarse.blocks[0] is 1e+07; it must be from 0 to 100"),
    "hallucination.coarse.widths": ([2] * 33, "hallucination.coarse.widths has 33 entries, at most 32"),
    "hallucination.generator.hourglass": (1000, "hallucination.generator.hourglass is 1000; it must be from 0 to 8"),
    "hallucination.integrator.inputs": (3, "has the entry model_arguments.hallucination.integrator.inputs, which"),
    "hallucination.turns": ("1", "hallucination.turns is '1'; it must be a valid integer"),
    "recognition.teacher.width": (0, "recognition.teacher.width is 0; it must be from 1 to 2048"),
    "recognition.teacher.name": ("nobody", 'There is no backbone "nobody"'),
    "recognition.student.colors": (3, "has the entry model_arguments.recognition.student.colors, which"),
    "schemes.ibug68": (10**9, "schemes.ibug68 is 1e+09; it must be from 1 to 1000"),
}


@pytest.mark.parametrize("place", CHANGES)
def test_an_argument_out_of_its_range_is_named_before_anything_is_built(monkeypatch, place):
    value, sentence = CHANGES[place]
    arguments = json.loads(json.dumps(MODEL))  # its parts share containers
    *parts, last = place.split(".")
    part = arguments
    for name in parts:
        part = part[name]
    part[last] = value
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda module: pytest.fail(f"{type(module).__name__} is built"))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_architecture("rim", arguments, "last.ckpt")


def test_a_network_that_is_larger_than_its_file_is_refused():
    needed = sum(value.numel() for value in RIM(**MODEL).parameters())
    check_rim_size(MODEL, needed, "last.ckpt")
    with pytest.raises(ValueError, match=f"last.ckpt holds {needed - 1:,} numbers of a network that has {needed:,}"):
        check_rim_size(MODEL, needed - 1, "last.ckpt")


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "inception_resnet_v1"])
def test_every_backbone_can_be_counted_without_memory(name):
    needed = sum(value.numel() for value in BACKBONES[name]().parameters())
    check_size(BACKBONES[name], needed, name)
    with pytest.raises(ValueError, match=f"has {needed:,}"):
        check_size(BACKBONES[name], needed - 1, name)


def test_the_shipped_model_is_within_the_ranges():
    check_architecture("rim", read_card(SHIPPED)["architecture"]["arguments"], "card.json")


def test_weights_that_are_not_finite_are_named():
    network = torch.nn.Linear(2, 2)
    check_finite(network, "net.pt")
    network.bias.data[1] = float("inf")
    with pytest.raises(ValueError, match=r"net.pt holds NaN or infinity in bias"):
        check_finite(network, "net.pt")
