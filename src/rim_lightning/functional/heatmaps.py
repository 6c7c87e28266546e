"""Conversion of landmarks to heatmaps, the targets of RIM Eq 3, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rim_lightning.functional.precision import full_precision
from rim_lightning.schemes import LANDMARK_SCHEMES


def render_heatmaps(points: Tensor, image_size: int, grid_size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Render one 2-D Gaussian of peak 1 per landmark (Eq 3). Its center can lie between pixels.

    The grid covers the image with aligned pixel borders: image coordinate c is (c + ½) · grid / image − ½ on the grid.
    A point outside the image is still labeled; the part of its Gaussian that reaches into the grid is rendered.

    Args:
        points: (B, N, 2), x and y in pixels of the image, where the center of the first pixel is 0; NaN if not
            annotated.
        image_size: Side of the square image in pixels.
        grid_size: Side of the square heatmap in pixels.
        sigma: Standard deviation of the Gaussian in pixels of the grid, > 0.

    Returns:
        Heatmaps, (B, N, grid_size, grid_size) in [0, 1], float32 (float64 for float64 points), 0 where not annotated;
        and labels, (B, N) bool, True where both coordinates are annotated.

    Raises:
        ValueError: If points are not (B, N, 2) or sigma is not positive.

    Example:
        >>> heatmaps, labeled = render_heatmaps(torch.tensor([[[3.0, 3.0]]]), image_size=8, grid_size=8, sigma=1.0)
        >>> heatmaps[0, 0, 3, 2:5]  # exp(−1 / 2) beside the peak
        tensor([0.6065, 1.0000, 0.6065])
    """
    if points.ndim != 3 or points.shape[-1] != 2:
        raise ValueError(f"Landmarks must be (B, N, 2), got {tuple(points.shape)}.")
    if sigma <= 0:
        raise ValueError(f"The sigma of the heatmaps is {sigma} grid pixels; it must be positive.")
    points = full_precision(points)
    labeled = points.isfinite().all(-1)
    centers = torch.where(labeled[..., None], (points + 0.5) * (grid_size / image_size) - 0.5, 0)
    axis = torch.arange(grid_size, device=points.device, dtype=points.dtype)
    profiles = torch.exp((axis - centers[..., None]).square() / (-2 * sigma**2))  # (B, N, xy, grid): separable
    across, down = (profiles * labeled[..., None, None]).unbind(2)
    return down[..., :, None] * across[..., None, :], labeled


def decode_heatmaps(heatmaps: Tensor, image_size: int) -> Tensor:
    """Find the peak of each heatmap as a sub-pixel point of the image: the inverse of `render_heatmaps`.

    The peak is the vertex of a parabola through the logarithms of the highest pixel and its neighbors, along x and
    along y. For a Gaussian this is exact. A peak on the border is extrapolated by half a grid pixel at most.

    Args:
        heatmaps: (B, N, h, w), h ≥ 3, w ≥ 3, any range. Values ≤ 0 count as no evidence.
        image_size: Side of the square image that the grid covers, in pixels.

    Returns:
        (B, N, 2), x and y in pixels of the image, where the center of the first pixel is 0.

    Raises:
        ValueError: If the grid is smaller than 3 pixels.

    Example:
        >>> heatmaps, _ = render_heatmaps(torch.tensor([[[3.5, 11.0]]]), image_size=16, grid_size=8, sigma=1.0)
        >>> decode_heatmaps(heatmaps, image_size=16)
        tensor([[[ 3.5000, 11.0000]]])
    """
    heatmaps = full_precision(heatmaps)
    height, width = heatmaps.shape[-2:]
    if min(height, width) < 3:
        raise ValueError(f"A sub-pixel peak needs a grid of 3 x 3 pixels or more, got {height} x {width}.")
    highest = heatmaps.flatten(2).argmax(2)  # (B, N)
    row, column = highest // width, highest % width
    across = heatmaps.gather(2, row[..., None, None].expand(-1, -1, 1, width)).squeeze(2)  # (B, N, w)
    down = heatmaps.gather(3, column[..., None, None].expand(-1, -1, height, 1)).squeeze(3)  # (B, N, h)
    x = (_vertex(across, column) + 0.5) * (image_size / width) - 0.5
    y = (_vertex(down, row) + 0.5) * (image_size / height) - 0.5
    return torch.stack([x, y], -1)


def position_probabilities(logits: Tensor) -> Tensor:
    """Return the probability that a point lies in a cell of the grid: softmax over the positions of each map.

    Args:
        logits: (B, N, h, w).

    Returns:
        (B, N, h, w), at least float32, of sum 1 in each map.
    """
    return full_precision(logits).flatten(2).softmax(2).view(logits.shape)


def expected_points(logits: Tensor, image_size: int) -> Tensor:
    """Return the expected position of each point (soft-argmax, arXiv 1711.08229).

    Args:
        logits: Logits of the position, (B, N, h, w).
        image_size: Side of the square image that the grid covers, in pixels.

    Returns:
        (B, N, 2), x and y in pixels of the image, where the center of the first pixel is 0.

    Example:
        >>> logits = torch.zeros(1, 1, 4, 4)
        >>> logits[0, 0, 1, 2] = 100
        >>> expected_points(logits, image_size=8)
        tensor([[[4.5000, 2.5000]]])
    """
    return mean_positions(position_probabilities(logits), image_size)


def mean_positions(probabilities: Tensor, image_size: int) -> Tensor:
    """Return the mean position under the probabilities of each map.

    Args:
        probabilities: (B, N, h, w), of sum 1 in each map.
        image_size: Side of the square image that the grid covers, in pixels.

    Returns:
        (B, N, 2), x and y in pixels of the image, where the center of the first pixel is 0.
    """
    height, width = probabilities.shape[-2:]
    columns = torch.arange(width, device=probabilities.device, dtype=probabilities.dtype)
    rows = torch.arange(height, device=probabilities.device, dtype=probabilities.dtype)
    x = (probabilities.sum(2) @ columns + 0.5) * (image_size / width) - 0.5
    y = (probabilities.sum(3) @ rows + 0.5) * (image_size / height) - 0.5
    return torch.stack([x, y], -1)


def component_maps(heatmaps: Mapping[str, Tensor]) -> Tensor:
    """Join the heatmaps of points to maps of the parts of the face: the largest value of the points of each part.

    Args:
        heatmaps: Landmark scheme -> evidence of its points, (B, N, h, w), about 0 to 1.

    Returns:
        (B, K, h, w), K the number of parts (`LandmarkScheme.components`) of all schemes together, in their order.
    """
    return torch.stack(
        [
            maps[:, list(points)].amax(1)
            for scheme, maps in heatmaps.items()
            for points in LANDMARK_SCHEMES[scheme].components.values()
        ],
        dim=1,
    )


def _vertex(profile: Tensor, peak: Tensor) -> Tensor:
    """Sub-pixel position (B, N) of the peak pixel (B, N) of profiles (B, N, L)."""
    middle = peak.clamp(1, profile.shape[-1] - 2)
    neighbors = middle[..., None] + torch.arange(-1, 2, device=peak.device)
    before, center, after = profile.gather(-1, neighbors).clamp(min=1e-6).log().unbind(-1)
    curvature = before - 2 * center + after
    concave = curvature < 0
    offset = (before - after) / (2 * torch.where(concave, curvature, -1))
    step = (peak - middle).to(profile.dtype)  # -1, 0 or 1; not 0 only on the border
    offset = torch.where(concave, torch.minimum(torch.maximum(offset, step - 0.5), step + 0.5), step)
    return middle + offset
