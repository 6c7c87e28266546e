"""Maps of the components of the face: whose points they sum, and what attention does with them."""

import pytest
import torch

from rim_lightning.functional.heatmaps import render_heatmaps
from rim_lightning.networks.hallucination.components import ComponentAttention, attention_maps, count_maps, on_grid
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.schemes import IBUG68


def priors(kind):
    """Perfect heatmaps of random points on a grid of 8, of faces of 32 px."""
    points = 4 + 24 * torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0))
    heatmaps, _ = render_heatmaps(points, 32, 8, 1.0)
    logits = torch.randn(2, 11, 8, 8, generator=torch.Generator().manual_seed(1))
    maps = heatmaps if kind == "gaussian" else heatmaps.log().clamp(min=-50)
    return heatmaps, logits, Priors(torch.zeros(2, 1, 8, 8), {"ibug68": maps}, logits, kind)


@pytest.mark.parametrize("kind", ["gaussian", "logits"])
def test_a_component_is_the_sum_of_its_points_with_a_peak_of_1(kind):
    heatmaps, logits, made = priors(kind)
    maps = attention_maps(made)
    assert maps.shape[1] == count_maps(["ibug68"]) == 7 + 11
    nose = list(IBUG68.components).index("nose")
    if kind == "logits":
        heatmaps = heatmaps / heatmaps.sum((2, 3), keepdim=True)
    expected = sum(heatmaps[:, point] for point in range(27, 36))
    torch.testing.assert_close(maps[:, nose], expected / expected.amax((1, 2), keepdim=True))
    torch.testing.assert_close(maps[:, :7].amax((2, 3)), torch.ones(2, 7))
    torch.testing.assert_close(maps[:, 7:], logits.softmax(1))
    with pytest.raises(ValueError, match="scheme wflw98 are assigned to no components of the face: choose from five"):
        count_maps(["ibug68", "wflw98"])


def test_maps_are_brought_to_other_grids():
    maps = torch.rand(1, 2, 8, 8)
    torch.testing.assert_close(on_grid(maps, 4)[0, 1, 2, 3], maps[0, 1, 4:6, 6:8].mean())
    assert on_grid(maps, 8) is maps
    torch.testing.assert_close(on_grid(maps, 16).mean((2, 3)), maps.mean((2, 3)), atol=0.02, rtol=0)


def test_attention_starts_as_nothing_and_scales_and_shifts():
    attention, x, maps = ComponentAttention(3, 4), torch.randn(2, 4, 4, 4), torch.rand(2, 3, 8, 8)
    assert torch.equal(attention(x, maps), x)
    weight = torch.randn(8, 3)
    with torch.no_grad():
        attention.scale_and_shift.weight.copy_(weight[..., None, None])
        attention.scale_and_shift.bias.fill_(0.5)
    scale, shift = (torch.einsum("ck,bkhw->bchw", part, on_grid(maps, 4)) + 0.5 for part in weight.split(4))
    torch.testing.assert_close(attention(x, maps), x * (1 + scale) + shift)
