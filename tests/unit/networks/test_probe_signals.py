"""Signals of the quality of probes: each against its own formula, and beside the embeddings of the same pass."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.functional.consistency import consistency_residual
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import position_probabilities
from rim_lightning.networks.probe_signals import SIGNALS, probe_signals
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from tests.helpers.tiny import MODEL, perturbed

SIZES = torch.tensor([6, 8, 16, 32])


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def enlarged():
    faces = 2 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3)) - 1
    return synthesize_probe(faces, SIZES)


@pytest.mark.parametrize("usage", [Usage(), Usage(flip=True, shift=0.05)])
def test_embeddings_are_those_of_probe_bit_for_bit(rim, enlarged, usage):
    embedder = FaceEmbedder(rim, usage)
    embeddings, signals = embedder.probe_with_signals(enlarged, SIZES)
    assert torch.equal(embeddings, embedder.probe(enlarged, SIZES))
    assert signals.shape == (4, len(SIGNALS))
    assert signals.isfinite().all()


def test_each_signal_is_the_logarithm_of_its_formula(rim, enlarged):
    _, signals = FaceEmbedder(rim, Usage(flip=True)).probe_with_signals(enlarged, SIZES)
    output = rim.fhn(enlarged, SIZES)
    length = rim.embed_probe(enlarged, SIZES).norm(dim=1)
    residual = consistency_residual(output.sr, enlarged, SIZES)
    torch.testing.assert_close(signals[:, 0].exp(), length)
    torch.testing.assert_close(signals[:, 1].exp(), residual)


def test_the_spread_of_even_maps_is_the_logarithm_of_their_cells(rim, enlarged):
    priors = rim.fhn(enlarged, SIZES).priors
    even = {scheme: torch.zeros_like(maps) for scheme, maps in priors.heatmaps.items()}
    cells = next(iter(even.values()))[0, 0].numel()
    for kind in ("logits", "gaussian"):
        views = ProbeViews(enlarged, enlarged, SIZES, priors._replace(heatmaps=even, kind=kind))
        spread = probe_signals(views, torch.ones(4, 8), SIZES)[:, 2].exp()
        torch.testing.assert_close(spread, torch.full((4,), float(cells)).log())


def test_the_spread_of_logits_is_that_of_their_probabilities(rim, enlarged):
    priors = rim.fhn(enlarged, SIZES).priors
    views = ProbeViews(enlarged, enlarged, SIZES, priors._replace(kind="logits"))
    entropies = []
    for maps in priors.heatmaps.values():
        p = position_probabilities(maps)
        entropies.append(-(p * p.log()).sum((2, 3)))
    spread = probe_signals(views, torch.ones(4, 8), SIZES)[:, 2].exp()
    torch.testing.assert_close(spread, torch.cat(entropies, 1).mean(1))


def test_where_the_mixture_leaves_rim_out_there_are_no_signals(rim, enlarged):
    embedder = FaceEmbedder(rim, Usage(mixture=SizeCurve((8, 32), (1.0, 0.0))))
    embeddings, signals = embedder.probe_with_signals(enlarged, SIZES)
    torch.testing.assert_close(embeddings, embedder.probe(enlarged, SIZES))
    _, own = FaceEmbedder(rim, Usage()).probe_with_signals(enlarged, SIZES)
    torch.testing.assert_close(signals[:3], own[:3])
    assert signals[3].isnan().all()


def test_a_network_that_does_not_hallucinate_has_no_signals(enlarged):
    torch.manual_seed(0)
    recognition = {**MODEL["recognition"], "student_sees": "probe", "assistant_sees": "probe"}
    rim = perturbed(RIM(**{**MODEL, "recognition": recognition})).eval().requires_grad_(False)
    embeddings, signals = FaceEmbedder(rim, Usage()).probe_with_signals(enlarged, SIZES)
    assert torch.equal(embeddings, F.normalize(rim.embed_probe(enlarged, SIZES)))
    assert signals.isnan().all()
