"""SRCNN has the published layers."""

import torch

from rim_lightning.networks.compared.srcnn import SRCNN
from tests.helpers.super_resolution import count_parameters, probe


def test_srcnn_has_the_published_layers_and_no_skip():
    convolutions = 9 * 9 * 3 * 64 + 5 * 5 * 64 * 32 + 5 * 5 * 32 * 3
    assert count_parameters(SRCNN) == convolutions + 64 + 32 + 3
    # Kernels with a single 1 carry x⁺ and (−x)⁺ through and join them: the input itself, up to the border.
    network = SRCNN((6, 6))
    first, second, third = network.body[0], network.body[2], network.body[4]
    with torch.no_grad():
        for layer in (first, second, third):
            layer.weight.zero_()
        for channel in range(3):
            first.weight[channel, channel, 4, 4], first.weight[channel + 3, channel, 4, 4] = 1, -1
            third.weight[channel, channel, 2, 2], third.weight[channel, channel + 3, 2, 2] = 1, -1
        for channel in range(6):
            second.weight[channel, channel, 2, 2] = 1
    assert torch.equal(network(probe(16)), probe(16))
