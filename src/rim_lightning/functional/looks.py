"""Several looks at one face, whose embeddings are averaged: mirrored, and moved by a few pixels."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def looks(faces: Tensor, flip: bool, shift: float) -> list[Tensor]:
    """Return the looks at each face: the face itself, then moved left, right, up and down, then all of these mirrored.

    The pixels at the border are repeated where the picture ends.

    Args:
        faces: (B, C, H, W), any range.
        flip: True to add the mirrored faces.
        shift: Distance of the moved faces as a share of the side, at least a pixel; 0 adds none.

    Returns:
        1, 2, 5 or 10 tensors of that shape.

    Example:
        >>> import torch
        >>> row = torch.tensor([1.0, 2.0, 3.0]).expand(1, 1, 3, 3)
        >>> [look[0, 0, 0].tolist() for look in looks(row, flip=False, shift=0.3)][:3]
        [[1.0, 2.0, 3.0], [2.0, 3.0, 3.0], [1.0, 1.0, 2.0]]
    """
    views = [faces]
    if shift > 0:
        height, width = faces.shape[-2:]
        step = max(1, round(shift * width))
        padded = F.pad(faces, (step, step, step, step), mode="replicate")
        starts = ((step, 2 * step), (step, 0), (2 * step, step), (0, step))
        views += [padded[..., top : top + height, left : left + width] for top, left in starts]
    return views + [view.flip(-1) for view in views] if flip else views


def averaged(embed: Callable[[Tensor], Tensor], faces: Tensor, flip: bool = False, shift: float = 0.0) -> Tensor:
    """Embed faces by the mean over their looks.

    Args:
        embed: Faces -> embeddings (B, E), not necessarily normalized.
        faces: (B, C, H, W).
        flip: See `looks`.
        shift: See `looks`.

    Returns:
        (B, E) float32, of length 1.
    """
    first, *others = (F.normalize(embed(view).float()) for view in looks(faces, flip, shift))
    return F.normalize(sum(others, start=first)) if others else first
