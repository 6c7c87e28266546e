"""The count of arithmetic against hand values, and a convolution of groups against as many convolutions without."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rim_lightning.functional.arithmetic import flop_counter


def both_passes(network, x, counter):
    """Operations of the forward pass, and of the backward pass to `x` and the weights."""
    with counter:
        output = network(x.requires_grad_())
    forward = counter.get_total_flops()
    with counter:
        output.sum().backward()
    return forward, counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_a_convolution_has_the_hand_value_whatever_its_groups(groups):
    """2 · 3² · C_in / groups operations for each of the 2 · 12 · 5 · 7 output values, and twice that backward."""
    network, x = nn.Conv2d(12, 12, 3, padding=1, groups=groups), torch.ones(2, 12, 5, 7)
    forward = 2 * 9 * (12 // groups) * 2 * 12 * 5 * 7
    assert both_passes(network, x, flop_counter()) == (forward, 2 * forward)


@pytest.mark.parametrize("build", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_groups_is_as_many_convolutions_without(build, stride):
    both = both_passes(build(12, 24, 3, stride, groups=4), torch.ones(2, 12, 9, 9), flop_counter())
    one = both_passes(build(3, 6, 3, stride), torch.ones(2, 3, 9, 9), flop_counter())
    assert both == (4 * one[0], 4 * one[1])
    assert one == both_passes(build(3, 6, 3, stride), torch.ones(2, 3, 9, 9), FlopCounterMode(display=False))


def test_a_gradient_that_nobody_needs_is_not_counted():
    network, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 9, 2)), torch.ones(4, 3, 5, 5)
    with flop_counter() as counter:
        network(x).sum().backward()
    convolution, linear = 2 * 27 * 4 * 8 * 9, 2 * 72 * 2 * 4
    assert counter.get_total_flops() == 2 * convolution + 3 * linear
