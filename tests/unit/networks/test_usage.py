"""A network is used as its usage says: looks, mixture with the teacher, reduced gallery face."""

import json

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from tests.helpers.tiny import MODEL, perturbed

SIZES = torch.tensor([6, 8, 16, 32])
MIXTURE = SizeCurve((8, 32), (1.0, 0.0))
FULL = Usage(True, 0.05, MIXTURE, SizeCurve((8,), (0.25,)))


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


@pytest.fixture(scope="module")
def faces():
    return 2 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3)) - 1


@torch.no_grad()
def test_the_default_is_the_network_itself(rim, faces):
    plain = FaceEmbedder(rim, Usage())
    enlarged = synthesize_probe(faces, SIZES)
    assert torch.equal(plain.probe(enlarged, SIZES), F.normalize(rim.embed_probe(enlarged)))
    assert torch.equal(plain.gallery(faces), F.normalize(rim.embed_gallery(faces)))


@torch.no_grad()
def test_a_mixture_weighs_rim_by_the_size_of_each_probe(rim, faces):
    enlarged = synthesize_probe(faces, SIZES)
    mixed = FaceEmbedder(rim, Usage(mixture=MIXTURE)).probe(enlarged, SIZES)
    own, teacher = F.normalize(rim.embed_probe(enlarged)), F.normalize(rim.embed_gallery(enlarged))
    half = F.normalize((own[2] + teacher[2])[None])[0]  # log 16 is half-way between log 8 and log 32
    torch.testing.assert_close(mixed, torch.stack([own[0], own[1], half, teacher[3]]))


@torch.no_grad()
def test_a_network_without_weight_is_not_run(rim, faces, monkeypatch):
    """From the size where the teacher is better on, a probe costs one pass of the teacher."""
    monkeypatch.setattr(rim, "embed_probe", None)
    embedder = FaceEmbedder(rim, Usage(mixture=MIXTURE))
    expected = F.normalize(rim.embed_gallery(faces))
    torch.testing.assert_close(embedder.probe(faces, torch.full((4,), 40.0)), expected)


@torch.no_grad()
def test_the_gallery_face_is_reduced_to_the_probe(rim, faces):
    embedder = FaceEmbedder(rim, Usage(flip=True))
    sizes = torch.full((4,), 9)
    assert torch.equal(embedder.reduced_gallery(faces, 9.4), embedder.probe(synthesize_probe(faces, sizes), sizes))
    largest = torch.full((4,), 32)
    assert torch.equal(embedder.reduced_gallery(faces, 99), embedder.probe(synthesize_probe(faces, largest), largest))


@pytest.mark.parametrize("usage", [Usage(), FULL, Usage(mixture=MIXTURE)])
def test_a_usage_is_read_as_it_was_written(usage):
    assert Usage.from_plain(json.loads(json.dumps(usage.to_plain()))) == usage


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        ({"shift": 0.5}, "Looks are moved by 0 to 0.25 of the side, got 0.5"),
        ({"mixture": [[8, 16], [1.0, 1.5]]}, "The mixture needs a weight from 0 to 1 for each of its sizes"),
        ({"mixture": [[16, 8], [1.0, 0.5]]}, "which ascend: got sizes"),
        ({"reduced_gallery": [[8], [0.5, 0.5]]}, "The reduced gallery needs a weight"),
        ({"reduced_gallery": [[8], [1.0], [1.0]]}, "The reduced gallery needs two lists, sizes and weights; got 3"),
        ({"mixture": [[], []]}, "The mixture needs a weight"),
    ],
)
def test_a_usage_out_of_its_range_gets_a_sentence(plain, sentence):
    with pytest.raises(ValueError, match=sentence):
        Usage.from_plain(plain)
