"""Alignment: the closed form against least squares, pixel-exact warps, antialiasing, labels that follow the image."""

import numpy as np
import pytest

from rim_lightning.data.alignment import (
    FIVE_POINT_TEMPLATE_112,
    align,
    center_square_matrix,
    similarity_from_points,
    template,
    transform_points,
)

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, shift])


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (0.31, 25.0), (4.0, -170.0), (1.0, 90.0)])
def test_a_known_similarity_is_recovered(scale, degrees):
    matrix = similarity(scale, degrees, (13.5, -7.25))
    source = FIVE_POINT_TEMPLATE_112
    np.testing.assert_allclose(similarity_from_points(source, transform_points(source, matrix)), matrix, atol=1e-10)


def test_noisy_points_give_the_least_squares_solution():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(5, 2)) * 20, rng.normal(size=(5, 2)) * 20
    # x' = a x - b y + c, y' = b x + a y + d: linear in (a, b, c, d)
    design = np.concatenate([np.array([[x, -y, 1, 0], [y, x, 0, 1]]) for x, y in source])
    a, b, c, d = np.linalg.lstsq(design, target.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(similarity_from_points(source, target), [[a, -b, c], [b, a, d]], atol=1e-10)


def test_a_mirrored_target_is_met_without_reflection():
    matrix = similarity_from_points(FIVE_POINT_TEMPLATE_112, FIVE_POINT_TEMPLATE_112 * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_impossible_points_are_refused():
    with pytest.raises(ValueError, match="all coincide"):
        similarity_from_points(np.ones((5, 2)), FIVE_POINT_TEMPLATE_112)
    with pytest.raises(ValueError, match="finite"):
        similarity_from_points(np.full((5, 2), np.nan), FIVE_POINT_TEMPLATE_112)


def test_the_template_scales_pixel_edges():
    np.testing.assert_allclose(template(112), FIVE_POINT_TEMPLATE_112, atol=1e-12)
    np.testing.assert_allclose(template(224)[0], [2 * 38.2946 + 0.5, 2 * 51.6963 + 0.5])
    np.testing.assert_allclose(template(128, margin=16), template(128) + 16)


def test_the_center_square_fills_the_result_edge_to_edge():
    matrix = center_square_matrix(height=60, width=100, side=30)
    # The square spans x from 19.5 to 79.5 and y from -0.5 to 59.5, in pixel coordinates.
    np.testing.assert_allclose(transform_points([[19.5, -0.5], [79.5, 59.5]], matrix), [[-0.5, -0.5], [29.5, 29.5]])


def test_the_identity_returns_the_image():
    rng = np.random.default_rng(0)
    image, parsing = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), rng.integers(0, 11, (9, 9), dtype=np.uint8)
    warped, landmarks, classes = align(image, IDENTITY, 9, {"five": FIVE_POINT_TEMPLATE_112}, parsing)
    np.testing.assert_array_equal(warped, image)
    np.testing.assert_array_equal(classes, parsing)
    np.testing.assert_allclose(landmarks["five"], FIVE_POINT_TEMPLATE_112.astype(np.float32))


def test_a_shift_moves_pixels_and_labels_together():
    rng = np.random.default_rng(0)
    image, parsing = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), rng.integers(0, 11, (9, 9), dtype=np.uint8)
    matrix = np.array([[1.0, 0, 2], [0, 1, -1]])
    warped, landmarks, classes = align(image, matrix, 9, {"five": np.array([[4.0, 4], [np.nan, 0]])}, parsing)
    np.testing.assert_array_equal(warped[:8, 2:], image[1:, :7])
    np.testing.assert_array_equal(classes[:8, 2:], parsing[1:, :7])
    assert (classes[8] == 255).all()
    assert (classes[:, :2] == 255).all()
    np.testing.assert_array_equal(warped[:8, 0], image[1:, 0])  # beyond the edge the edge is repeated
    np.testing.assert_array_equal(landmarks["five"][0], [6, 3])
    assert np.isnan(landmarks["five"][1, 0])


def test_a_quarter_turn_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    matrix = np.array([[0.0, -1, 7], [1, 0, 0]])  # (x, y) -> (7 - y, x)
    np.testing.assert_array_equal(align(image, matrix, 8, {}, None)[0], np.rot90(image, -1))


def test_reduction_averages_whole_blocks():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    matrix = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]])  # edges onto edges
    warped = align(image, matrix, 8, {}, None)[0]
    means = image.reshape(8, 4, 8, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(warped - means).max() <= 0.5 + 1e-6


def test_reduction_does_not_alias():
    checks = np.repeat((np.indices((120, 120)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    warped = align(checks, similarity(0.3, 20.0, (10.0, -5.0)), 20, {}, None)[0].astype(float)
    assert np.abs(warped - 127.5).max() < 16


def test_a_blob_stays_under_its_landmark():
    y, x = np.mgrid[:200, :200]
    center = np.array([120.3, 90.7])
    blob = 255 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * 12.0**2))
    image = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    warped, landmarks, _ = align(image, similarity(0.37, 15.0, (5.0, -8.0)), 64, {"five": center[None]}, None)
    weights = warped[..., 0].astype(float)
    rows, columns = np.mgrid[:64, :64]
    found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    assert np.abs(found - landmarks["five"][0]).max() < 0.05


def test_a_parsing_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"parsing map is \(8, 9\) pixels where the image is \(9, 9\)"):
        align(np.zeros((9, 9, 3), np.uint8), IDENTITY, 9, {}, np.zeros((9, 8), np.uint8))
