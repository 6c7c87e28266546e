"""The coarse net: what it refuses, and what its average keeps."""

import pytest
import torch

from rim_lightning.networks.hallucination.coarse import CoarseSR


def test_coarse_net_refuses_a_reduction_it_cannot_undo():
    with pytest.raises(ValueError, match="reduces by 8 but enlarges by 4"):
        CoarseSR(8, 4, [8, 8, 8], [1, 1, 1], [2, 2])
    with pytest.raises(ValueError, match="reduces by 8, which is not a multiple of its pool 3"):
        CoarseSR(8, 3, [8, 8, 8, 8], [1, 1, 1, 1], [2, 2, 2])


def test_the_input_is_averaged_and_folded_into_channels():
    """Blocks of `pool` pixels become their means, and blocks of reduction / pool means become channels."""
    network = CoarseSR(4, 2, [8, 8, 8], [0, 0, 0], [2, 2])
    faces = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    means = faces.reshape(2, 3, 8, 2, 8, 2).mean((3, 5))
    expected = means.reshape(2, 3, 4, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 12, 4, 4)
    torch.testing.assert_close(network.fold(faces), expected)


@pytest.mark.parametrize("residual", [True, False])
def test_the_probe_is_added_only_if_residual(residual):
    network = CoarseSR(4, 2, [8, 8, 8], [1, 0, 0], [2, 2], residual=residual)
    torch.nn.init.zeros_(network.pyramid.to_rgb.weight)
    faces = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(faces).faces, faces if residual else torch.zeros_like(faces))
