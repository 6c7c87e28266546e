import math

import pytest
import torch

from rim_lightning.functional.heatmaps import (
    component_maps,
    decode_heatmaps,
    expected_points,
    position_probabilities,
    render_heatmaps,
)


def test_gaussian_by_hand_on_a_grid_as_large_as_the_image():
    heatmaps, labeled = render_heatmaps(torch.tensor([[[0.0, 1.0]]]), image_size=4, grid_size=4, sigma=2.0)
    assert labeled.tolist() == [[True]]
    assert heatmaps.shape == (1, 1, 4, 4)
    assert heatmaps[0, 0, 1, 0] == 1
    assert heatmaps[0, 0, 1, 1].item() == pytest.approx(math.exp(-1 / 8))  # one pixel in x
    assert heatmaps[0, 0, 3, 0].item() == pytest.approx(math.exp(-4 / 8))  # two pixels in y
    assert heatmaps[0, 0, 0, 2].item() == pytest.approx(math.exp(-5 / 8))


def test_pixel_borders_are_aligned():
    # Image 8, grid 4: grid pixel 1 covers image pixels 2 and 3, between whose centers lies 2.5.
    heatmaps, _ = render_heatmaps(torch.tensor([[[2.5, 6.5]]]), image_size=8, grid_size=4, sigma=1.0)
    assert heatmaps[0, 0, 3, 1] == 1


def test_every_pixel_equals_the_formula():
    points = torch.rand(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 60
    heatmaps, _ = render_heatmaps(points, image_size=60, grid_size=9, sigma=1.3)
    for b in range(2):
        for n in range(3):
            x, y = (((c + 0.5) * 9 / 60 - 0.5) for c in points[b, n].tolist())
            for row in range(9):
                for column in range(9):
                    expected = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 1.3**2))
                    assert heatmaps[b, n, row, column].item() == pytest.approx(expected, abs=1e-14)


def test_missing_points_are_unlabeled_zeros_and_outside_points_keep_their_tail():
    points = torch.tensor([[[math.nan, 3.0], [3.0, 3.0], [-1.0, 2.0], [500.0, 2.0]]])
    heatmaps, labeled = render_heatmaps(points, image_size=8, grid_size=8, sigma=1.0)
    assert labeled.tolist() == [[False, True, True, True]]
    assert heatmaps[0, 0].abs().max() == 0
    assert heatmaps[0, 2, 2, 0].item() == pytest.approx(math.exp(-0.5))
    assert heatmaps[0, 3].max() == 0
    assert heatmaps.isfinite().all()


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_decoding_undoes_rendering_to_a_thousandth_of_a_pixel(sigma):
    points = torch.rand(4, 68, 2, generator=torch.Generator().manual_seed(1)) * 127
    heatmaps, _ = render_heatmaps(points, image_size=128, grid_size=32, sigma=sigma)
    assert (decode_heatmaps(heatmaps, 128) - points).abs().max() < 4e-3  # image pixels: a thousandth of the grid's


def test_decoding_finds_the_highest_of_two_peaks_and_ignores_scale():
    high, _ = render_heatmaps(torch.tensor([[[20.3, 9.7]]]), 32, 32, 1.0)
    low, _ = render_heatmaps(torch.tensor([[[5.0, 25.0]]]), 32, 32, 1.0)
    decoded = decode_heatmaps(0.3 * high + 0.2 * low, 32)
    assert decoded[0, 0].tolist() == pytest.approx([20.3, 9.7], abs=2e-3)


def test_a_point_beyond_the_border_is_extrapolated_by_half_a_grid_pixel_at_most():
    heatmaps, _ = render_heatmaps(torch.tensor([[[-0.4, 4.0], [-3.0, 4.0]]]), 8, 8, 1.0)
    decoded = decode_heatmaps(heatmaps, 8)
    assert decoded[0, 0].tolist() == pytest.approx([-0.4, 4.0], abs=1e-4)
    assert decoded[0, 1].tolist() == pytest.approx([-0.5, 4.0], abs=1e-4)


def test_a_flat_or_negative_heatmap_decodes_to_a_finite_point_of_the_image():
    for heatmaps in (torch.zeros(1, 2, 6, 6), torch.full((1, 2, 6, 6), -1.0)):
        decoded = decode_heatmaps(heatmaps, 24)
        assert decoded.isfinite().all()
        assert decoded.min() >= -0.5
        assert decoded.max() <= 23.5


def test_wrong_shapes_and_sigmas_are_refused():
    with pytest.raises(ValueError, match=r"\(B, N, 2\)"):
        render_heatmaps(torch.zeros(4, 2), 8, 8, 1.0)
    with pytest.raises(ValueError, match="positive"):
        render_heatmaps(torch.zeros(1, 4, 2), 8, 8, 0.0)
    with pytest.raises(ValueError, match="3 x 3"):
        decode_heatmaps(torch.zeros(1, 1, 2, 8), 8)


def test_the_expected_position_of_a_gaussian_is_its_center():
    points = 20 + 24 * torch.rand(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    heatmaps, _ = render_heatmaps(points, 64, 32, 1.5)
    torch.testing.assert_close(expected_points(heatmaps.log(), 64), points, atol=1e-3, rtol=0)


def test_the_expected_position_lies_between_two_equal_peaks():
    logits = torch.full((1, 1, 5, 8), -100.0)
    logits[0, 0, 1, 2] = logits[0, 0, 3, 6] = 0.0
    assert expected_points(logits, 40)[0, 0].tolist() == pytest.approx([4.5 * 5 - 0.5, 2.5 * 8 - 0.5])
    assert position_probabilities(logits).sum().item() == pytest.approx(1)
    assert position_probabilities(logits.bfloat16()).dtype == torch.float32


def test_a_part_of_the_face_is_where_one_of_its_points_is():
    points = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) * 32
    five = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1)) * 32
    heatmaps = {
        "ibug68": render_heatmaps(points, image_size=32, grid_size=16, sigma=1.0)[0],
        "five": render_heatmaps(five, image_size=32, grid_size=16, sigma=1.0)[0],
    }
    maps = component_maps(heatmaps)
    assert maps.shape == (2, 7 + 4, 16, 16)
    assert torch.equal(maps[:, 3], heatmaps["ibug68"][:, 27:36].amax(1))  # the nose
    assert torch.equal(maps[:, 6], heatmaps["ibug68"][:, 48:68].amax(1))  # the mouth
    assert torch.equal(maps[:, 9], heatmaps["five"][:, 2])
