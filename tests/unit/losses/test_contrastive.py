import math

import pytest
import torch

from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.embedding import EMBEDDING_TERMS, EmbeddingTerms
from rim_lightning.types import NO_IDENTITY

IDENTITY = torch.tensor([0, 0, NO_IDENTITY, 1, NO_IDENTITY, 1, 1, 2])
INDEX = torch.tensor([1, 2, 6, 7, 1])  # a face may come twice in a batch


def embeddings(rows, seed):
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(scale=16.0, identity=IDENTITY):
    loss = ContrastiveLoss(scale)
    loss.fill(3 * embeddings(len(identity), 0), identity)
    return loss


def by_hand(probes, bank, index, identity, scale):
    """One face after the other, in plain numbers."""
    losses = []
    for probe, own in zip(probes.tolist(), index.tolist(), strict=True):
        cosines = []
        for row in bank.tolist():
            product = sum(a * b for a, b in zip(probe, row, strict=True))
            cosines.append(product / math.hypot(*probe) / math.hypot(*row))
        person = identity[own].item()
        others = [
            cosine
            for row, cosine in enumerate(cosines)
            if row == own or person == NO_IDENTITY or identity[row].item() != person
        ]
        losses.append(-math.log(math.exp(scale * cosines[own]) / sum(math.exp(scale * cosine) for cosine in others)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_the_loss_is_that_of_a_loop_over_faces(scale):
    probes = embeddings(len(INDEX), 1)
    expected = by_hand(probes, 3 * embeddings(8, 0), INDEX, IDENTITY, scale)
    assert filled(scale)(probes, INDEX).item() == pytest.approx(expected, rel=1e-12)


def test_faces_of_the_own_person_count_for_nothing_and_unknown_people_are_nobody():
    probes = embeddings(len(INDEX), 1)
    changed = embeddings(8, 0)
    changed[5] = embeddings(1, 9)[0]  # a face of person 1, as row 6 is
    loss = filled()
    before = loss(probes[2:3], INDEX[2:3]), loss(probes[1:2], INDEX[1:2])
    loss.fill(changed, IDENTITY)
    after = loss(probes[2:3], INDEX[2:3]), loss(probes[1:2], INDEX[1:2])
    assert before[0] == after[0]  # the probe of row 6 does not see row 5
    assert before[1] != after[1]  # that of row 2 does
    alone = filled(identity=torch.full((8,), NO_IDENTITY))
    expected = by_hand(probes, 3 * embeddings(8, 0), INDEX, torch.arange(8), 16.0)
    assert alone(probes, INDEX).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_goes_to_the_probes_only_and_equals_finite_differences():
    loss = ContrastiveLoss(4.0)
    bank = embeddings(8, 0).requires_grad_()
    loss.fill(bank, IDENTITY)
    probes = embeddings(len(INDEX), 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, INDEX), probes)
    loss(probes, INDEX).backward()
    assert bank.grad is None


def test_autocast_does_not_round_the_cosines():
    loss, probes = filled(), embeddings(len(INDEX), 1).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(probes, INDEX)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(probes.double(), INDEX).item(), rel=1e-5)


def test_an_empty_bank_is_refused_and_a_full_one_is_not_saved():
    with pytest.raises(ValueError, match="call fill before it"):
        ContrastiveLoss(16.0)(embeddings(2, 0), INDEX[:2])
    assert not filled().state_dict()


def test_only_terms_with_a_weight_are_computed():
    terms = EmbeddingTerms(ContrastiveLoss(16.0))  # not filled: the contrastive term would raise
    weights = dict.fromkeys(EMBEDDING_TERMS, 0.0)
    assert terms(embeddings(2, 0), embeddings(2, 1), INDEX[:2], weights) == {}
    found = terms(embeddings(2, 0), embeddings(2, 1), INDEX[:2], weights | {"relational": 0.1, "embedding": 1.0})
    assert set(found) == {"embedding", "relational"}
