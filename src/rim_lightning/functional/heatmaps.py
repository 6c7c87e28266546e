"""Landmarks to heatmaps (targets of RIM Eq 3) and back."""

import torch
from torch import Tensor

from rim_lightning.functional.precision import full_precision


def render_heatmaps(points: Tensor, image_size: int, grid_size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """One 2-D Gaussian per landmark (Eq 3), of peak 1, centered between the pixels where the point lies there.

    The grid covers the image with aligned pixel borders: image coordinate c is (c + ½) · grid / image − ½ on the grid.
    A point outside the image is still labeled: its Gaussian is what of it reaches into the grid.

    Args:
        points: (B, N, 2), x and y in pixels of the image, the center of its first pixel is 0; NaN if not annotated.
        image_size: side of the square image, in pixels.
        grid_size: side of the square heatmap, in pixels.
        sigma: standard deviation of the Gaussian, in pixels of the grid, > 0.

    Returns:
        heatmaps: (B, N, grid_size, grid_size) in [0, 1], float32 (float64 of float64 points); 0 where not annotated.
        labeled: (B, N) bool, both coordinates annotated.

    Raises:
        ValueError: if points are not (B, N, 2) or sigma is not positive.

    Example:
        >>> heatmaps, labeled = render_heatmaps(torch.tensor([[[3.0, 3.0]]]), image_size=8, grid_size=8, sigma=1.0)
        >>> heatmaps[0, 0, 3, 2:5]  # exp(−1 / 2) beside the peak
        tensor([0.6065, 1.0000, 0.6065])
    """
    if points.ndim != 3 or points.shape[-1] != 2:
        raise ValueError(f"Landmarks are (B, N, 2), got {tuple(points.shape)}.")
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
    """The peak of each heatmap as a sub-pixel point of the image: the inverse of `render_heatmaps`.

    A parabola through the logarithms of the highest pixel and its neighbors gives the vertex along x and along y,
    exactly so for a Gaussian. A peak on the border is extrapolated by half a grid pixel at most.

    Args:
        heatmaps: (B, N, h, w), h, w >= 3, any range; values at or below 0 count as no evidence.
        image_size: side of the square image that the grid covers, in pixels.

    Returns:
        (B, N, 2), x and y in pixels of the image, the center of its first pixel is 0.

    Raises:
        ValueError: if the grid is smaller than 3 pixels.

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
    across = heatmaps.gather(2, row[..., None, None].expand(-1, -1, 1, width)).squeeze(2)
    down = heatmaps.gather(3, column[..., None, None].expand(-1, -1, height, 1)).squeeze(3)
    x = (_vertex(across, column) + 0.5) * (image_size / width) - 0.5
    y = (_vertex(down, row) + 0.5) * (image_size / height) - 0.5
    return torch.stack([x, y], -1)


def _vertex(profile: Tensor, peak: Tensor) -> Tensor:
    """Sub-pixel position (B, N) of the peak pixel (B, N) of profiles (B, N, L)."""
    middle = peak.clamp(1, profile.shape[-1] - 2)
    neighbors = middle[..., None] + torch.arange(-1, 2, device=peak.device)
    before, center, after = profile.gather(-1, neighbors).clamp(min=1e-6).log().unbind(-1)
    curvature = before - 2 * center + after
    concave = curvature < 0
    offset = (before - after) / (2 * torch.where(concave, curvature, -1))
    step = (peak - middle).to(profile.dtype)  # -1, 0 or 1: not 0 on the border only
    offset = torch.where(concave, torch.minimum(torch.maximum(offset, step - 0.5), step + 0.5), step)
    return middle + offset
