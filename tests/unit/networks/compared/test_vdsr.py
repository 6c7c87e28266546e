"""VDSR against a recomputation layer by layer."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.networks.compared.vdsr import VDSR
from tests.helpers.super_resolution import count_parameters, probe


def test_vdsr_adds_the_output_of_its_stack_to_the_probe():
    weights = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3)  # of luma, 1 for 3: the published 664 704
    assert 9 * (64 + 18 * 64 * 64 + 64) == 664_704
    assert count_parameters(VDSR) == weights + 19 * 64 + 3
    torch.manual_seed(0)
    network = VDSR(depth=4, width=5).double()
    x = enlarged = probe(8, dtype=torch.float64)
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    for number, layer in enumerate(layers):
        x = F.conv2d(F.pad(x, [1] * 4), layer.weight, layer.bias)
        x = x.clamp(min=0) if number < 3 else x
    torch.testing.assert_close(network(enlarged) - enlarged, x, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="got 1"):
        VDSR(depth=1)
