"""The recognizer without hallucination: who reads what, and what learns."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.compared.guided import build_guided_recognizer
from tests.helpers.super_resolution import probe
from tests.helpers.tiny import BACKBONE

WIDER = BACKBONE | {"width": 16}


def test_without_a_guide_the_learner_reads_both():
    torch.manual_seed(0)
    recognizer = build_guided_recognizer(BACKBONE).eval()
    assert recognizer.guide is None
    expected = recognizer.learner(probe(32))
    assert torch.equal(recognizer.embed_probe(probe(32)), expected)
    assert torch.equal(recognizer.embed_gallery(probe(32)), expected)


@pytest.mark.parametrize("guide_learns", [False, True])
def test_the_guide_reads_the_gallery_and_learns_only_if_it_should(guide_learns):
    torch.manual_seed(0)
    recognizer = build_guided_recognizer(BACKBONE, WIDER, guide_learns)
    assert isinstance(recognizer.guide, FrozenTeacher) is not guide_learns
    assert all(parameter.requires_grad is guide_learns for parameter in recognizer.guide.parameters())
    assert all(parameter.requires_grad for parameter in recognizer.learner.parameters())
    assert torch.equal(recognizer.embed_gallery(probe(32)), recognizer.guide(probe(32)))
    assert torch.equal(recognizer.embed_probe(probe(32)), recognizer.learner(probe(32)))


def test_faces_are_resized_to_the_network_that_reads_them():
    torch.manual_seed(0)
    smaller = BACKBONE | {"input_size": 16}
    recognizer = build_guided_recognizer(smaller, BACKBONE).eval()
    reduced = F.interpolate(probe(32), (16, 16), mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(recognizer.embed_probe(probe(32)), recognizer.learner(reduced))
    assert torch.equal(recognizer.embed_gallery(probe(32)), recognizer.guide(probe(32)))
