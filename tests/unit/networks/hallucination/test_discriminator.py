"""The domain discriminator: unit length, visible shifts, bounded weights."""

import torch

from rim_lightning.networks.hallucination.discriminator import DomainDiscriminator
from tests.helpers.tiny import domain_loss


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    network = DomainDiscriminator(8, 8, 16).eval()
    features = torch.randn(6, 8, 16, 16)
    embedding = network(features)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(network(features[:2]), embedding[:2])


def test_a_mean_shift_of_the_features_stays_visible():
    """Per-domain batch norm would erase it."""
    torch.manual_seed(0)
    network = DomainDiscriminator(8, 8, 16).eval()
    features = torch.randn(128, 8, 16, 16)
    loss = domain_loss()
    same = loss(network(features[:64]), network(features[64:]))
    shifted = loss(network(features[:64]), network(features[64:] + 0.5))
    assert shifted > 10 * same.abs()


def test_bf16_keeps_small_differences_of_the_embeddings():
    """Faces that differ by 1e-4 of their features: the steps of bf16 are 4e-3."""
    torch.manual_seed(0)
    network = DomainDiscriminator(8, 8, 16).eval()
    network.body = torch.nn.Identity()
    network.embed = torch.nn.Linear(8, 16)
    features = 1 + 1e-4 * torch.randn(32, 8, 4, 4)
    expected = network.double()(features.double())
    with torch.autocast("cpu", torch.bfloat16):
        actual = network.float()(features)
    assert actual.dtype == torch.float32
    spread = expected.std(0).mean()
    assert (actual - expected).abs().max() < 0.1 * spread


def test_spectral_norm_bounds_the_weights():
    network = DomainDiscriminator(8, 8, 16)
    for _ in range(20):  # power iterations
        network(torch.randn(2, 8, 16, 16))
    weight = network.embed.weight
    assert torch.linalg.matrix_norm(weight, 2) <= 1.01
