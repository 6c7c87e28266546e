"""The interface of the recognition networks."""

import pytest
import torch
from torch import nn

from rim_lightning.networks.backbones.base import Backbone, apply_stages, halved_sizes


class Doubler(Backbone):
    """Each stage doubles its input, and the head sums it."""

    input_size = 4
    embed = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))

    def stages(self, x):
        self.check_input(x)
        return [x * 2**number for number in range(1, 5)]


def test_stages_must_be_defined():
    with pytest.raises(TypeError, match=r"abstract method '?stages"):
        Backbone()


def test_the_embedding_is_the_head_on_the_last_stage():
    network = Doubler()
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(network(x), network.embed(16 * x))
    with pytest.raises(ValueError, match=r"Doubler takes images of \(B, 3, 4, 4\), got \(2, 3, 4, 3\)"):
        network(x[..., :3])
    network.drop_head()
    with pytest.raises(RuntimeError, match="Doubler has no head"):
        network(x)


def test_every_stage_reads_the_one_before():
    double, square = nn.Module(), nn.Module()
    double.forward, square.forward = (lambda x: 2 * x), (lambda x: x**2)
    maps = apply_stages([double, square, double], torch.tensor([3.0]))
    assert [float(m) for m in maps] == [6, 36, 72]


def test_sizes_are_halved_four_times():
    assert halved_sizes(48) == (24, 12, 6, 3)
    for size in (0, -16, 8, 40):
        with pytest.raises(ValueError, match=f"positive multiple of 16, got {size}"):
            halved_sizes(size)
