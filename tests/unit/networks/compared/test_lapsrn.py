"""LapSRN: bilinear at the start, residuals of its levels, published size."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.compared.lapsrn import LapSRN
from rim_lightning.networks.compared.super_resolver import on_probe_grid
from tests.helpers.super_resolution import count_parameters, probe


def silent_lapsrn():
    """LapSRN without residuals."""
    torch.manual_seed(0)
    network = LapSRN(depth=1, width=4).double()
    for step in network.steps:
        torch.nn.init.zeros_(step.residual.weight)
    return network


def test_lapsrn_without_residuals_is_bilinear_up_to_the_border():
    enlarged = probe(32, dtype=torch.float64)
    expected = on_probe_grid(enlarged, 8)
    for face in silent_lapsrn().levels(enlarged):
        expected = F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(face, expected, rtol=1e-12, atol=1e-12)


def test_lapsrn_carries_a_residual_to_the_levels_above():
    enlarged, network = probe(32, dtype=torch.float64), silent_lapsrn()
    before = network.levels(enlarged)
    torch.nn.init.constant_(network.steps[1].residual.bias, 0.5)
    gains = [after - face for after, face in zip(network.levels(enlarged), before, strict=True)]
    for gain, expected in zip(gains, (0, 0.5, 0.5), strict=True):
        torch.testing.assert_close(gain, torch.full_like(gain, expected), rtol=0, atol=1e-12)


def test_lapsrn_enlarges_features_bilinearly_at_the_start():
    torch.manual_seed(0)
    enlarge = LapSRN(depth=1, width=4).steps[0].features[-2]
    features = torch.randn(1, 4, 6, 6)
    expected = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(features)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("factor", [4, 8])
def test_lapsrn_has_ten_convolutions_a_level(factor):
    level = 10 * (9 * 64 * 64 + 64) + (16 * 64 * 64 + 64) + (9 * 64 * 3 + 3) + 16 * 3
    assert count_parameters(LapSRN, factor) == 9 * 3 * 64 + 64 + {4: 2, 8: 3}[factor] * level
