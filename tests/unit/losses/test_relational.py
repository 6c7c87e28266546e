import math

import pytest
import torch

from rim_lightning.losses.relational import RelationalLoss


def embeddings(rows, seed, size=4):
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_faces_by_hand():
    probes = torch.tensor([[2.0, 0.0], [0.0, 5.0]])  # a right angle
    target = torch.tensor([[1.0, 0.0], [3.0, 3.0]])  # 45 degrees
    assert RelationalLoss()(probes, target).item() == pytest.approx(0.5)


def test_the_mean_runs_over_pairs_of_different_faces():
    probes, target = embeddings(5, 0), embeddings(5, 1, size=7)

    def cosine(faces, i, j):
        a, b = faces[i].tolist(), faces[j].tolist()
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    expected = sum((cosine(probes, *pair) - cosine(target, *pair)) ** 2 for pair in pairs) / len(pairs)
    assert RelationalLoss()(probes, target).item() == pytest.approx(expected, rel=1e-12)


def test_turned_embeddings_of_another_length_keep_their_angles():
    target = embeddings(6, 0)
    turn = torch.linalg.qr(embeddings(4, 1))[0]
    assert RelationalLoss()(3 * target @ turn, target).item() == pytest.approx(0, abs=1e-12)
    assert RelationalLoss()(target[:1], target[:1]).item() == 0


def test_gradient_goes_to_the_probes_only_and_equals_finite_differences():
    probes, target = embeddings(4, 0).requires_grad_(), embeddings(4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: RelationalLoss()(x, target), probes)
    RelationalLoss()(probes, target).backward()
    assert target.grad is None


def test_autocast_does_not_round_the_cosines():
    probes, target = (embeddings(4, seed).to(torch.bfloat16) for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        value = RelationalLoss()(probes, target)
    assert value.item() == pytest.approx(RelationalLoss()(probes.double(), target.double()).item(), rel=1e-5)
