"""The grid of the probe, and the interface."""

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.networks.compared.super_resolver import SuperResolver, doublings, on_probe_grid
from tests.helpers.super_resolution import probe


def test_the_probe_grid_is_that_of_pillow():
    enlarged = probe(32, batch=1)
    planes = [Image.fromarray(plane.numpy()).resize((4, 4), Image.Resampling.BICUBIC) for plane in enlarged[0]]
    expected = torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))
    torch.testing.assert_close(on_probe_grid(enlarged, 8)[0], expected, rtol=0, atol=1e-5)
    assert on_probe_grid(enlarged.bfloat16(), 8).dtype == torch.float32


def test_the_number_of_doublings_is_the_logarithm():
    assert [doublings(2**steps) for steps in range(1, 6)] == [1, 2, 3, 4, 5]
    for factor in (-2, 0, 1, 3, 6, 12):
        with pytest.raises(ValueError, match=f"must be 2, 4, 8, ..., got {factor}"):
            doublings(factor)


def test_the_face_is_the_last_level_and_levels_must_be_defined():
    class Halves(SuperResolver):
        def levels(self, enlarged, sizes=None):
            return [on_probe_grid(enlarged, 2), enlarged + 1]

    assert torch.equal(Halves()(probe(8)), probe(8) + 1)
    with pytest.raises(TypeError, match=r"abstract method '?levels"):
        SuperResolver()
